/* SPDX-License-Identifier: MIT */
#pragma once

/* What metrics and traces say of a call to a language model. */

#include <stdbool.h>

#include "shared/genai.h"

struct call;
struct child_trailers;
struct served;
struct served_end;

/* Of a call that has ended. False: it was none to a model. On the thread that serves it. */
bool genai_of_call(struct genai_call *ret, struct served *call, const struct served_end *end);

/* The same of a call that a brick has made on behalf of another: transport->describe_child(). */
bool genai_of_child(struct call *parent, const struct call *child,
                    const struct child_trailers *trailers, struct genai_call *ret);

/* Counts the call, if it was one to a model. */
void genai_count(struct served *call, const struct served_end *end);

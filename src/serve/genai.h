/* SPDX-License-Identifier: MIT */
#pragma once

/* What metrics and traces say of a call to a language model. */

#include <stdbool.h>

#include "shared/genai.h"

struct served;
struct served_end;

/* Of a call that has ended. False: it was none to a model. On the thread that serves it. */
bool genai_of_call(struct genai_call *ret, struct served *call, const struct served_end *end);

/* Counts the call, if it was one to a model. */
void genai_count(struct served *call, const struct served_end *end);

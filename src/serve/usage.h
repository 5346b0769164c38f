/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a call to a model has used, as its brick says it in trailing metadata: x-model,
 * x-finish-reason, x-usage-prompt-tokens, x-usage-completion-tokens, x-usage-total-tokens.
 */

#include <stdbool.h>
#include <stdint.h>

#include "brick.h"

struct call;
struct child_trailers;

/* A brick, or the server behind it, may say anything: larger counts are not believed, so that a few
 * of them can be added. */
#define USAGE_TOKENS_MAX INT64_C(999999999999)

struct usage {
        bool known; /* the brick has counted; else the three are 0 */
        int64_t prompt, completion, total;
        struct brick_str model; /* that has answered; a NULL ptr: not said. The metadata's memory */
        struct brick_str finish_reason; /* the same */
};

/* The first value of a key; a NULL ptr: there is none. */
typedef struct brick_str usage_lookup(const void *metadata, const char *key);

void usage_read(struct usage *ret, usage_lookup *lookup, const void *metadata);

/* The same of a call that a brick has made. NULL: it had no trailers. */
void usage_of_trailers(struct usage *ret, const struct child_trailers *trailers);

/* The same of a call that is over for its client. The strings live as long as the call. Lock held:
 * a brick that has been told to give up may still add some. */
void usage_of_call(struct usage *ret, struct call *call);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The header fields in which an answer says what is left of its client's limits, as OpenAI's API
 * names them: x-ratelimit-limit-requests and so on. */

#include "shared/quota.h"

struct exchange;

enum limits_of { LIMITS_REQUESTS, LIMITS_TOKENS };

/* The names of all of them, for browsers. */
#define LIMITS_FIELDS                                                                              \
        "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, " \
        "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"

/* Before the answer begins. A reset of 0 is left out: waiting is no help. */
void limits_tell(struct exchange *x, enum limits_of what, const struct quota_left *left);

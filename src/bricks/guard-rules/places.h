/* SPDX-License-Identifier: MIT */
#pragma once

/* Tells where in a text the hits are, in a trailer of the call. */

#include <stddef.h>

#include "brick.h"
#include "judge.h"
#include "stream.h"

#define PLACES_TRAILER "x-guard-hits"

/*
 * Adds "FROM-TO ACTION CATEGORY RULE, ...": bytes of the text, of the first match of each rule, and
 * of all matches in categories that are masked.
 */
void places_tell(struct brick_call *call, const struct judge *judge,
                 const struct stream_plan *streams, const struct verdict *verdict, const char *text,
                 size_t length);

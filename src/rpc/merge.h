/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Merges replies of a token stream that wait for a slow client. Field 1 of an LLM or Translate
 * reply is the text that the client appends to what it has. Pure functions.
 */

#include <stddef.h>

#include "brick.h"

/* The most bytes by which merged replies may be larger than the pieces. */
#define MERGE_EXTRA 16

/*
 * Merges valid replies without their error fields: the texts are joined, and all other fields
 * follow in their order, so that repeated fields are concatenated and of any other field the last
 * value counts. `to` has room for all pieces and MERGE_EXTRA. Returns the size.
 */
size_t merge_replies(char *to, const struct brick_bytes *pieces, size_t n);

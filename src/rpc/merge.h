/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Messages of a token stream that wait for a slow client, as one. Of an LLM or Translate reply,
 * field 1 is the text that the client appends to what it has. Pure functions.
 */

#include <stddef.h>

#include "brick.h"

/* Bytes that joining may need beyond those of the pieces. */
#define MERGE_EXTRA 16

/*
 * Joins replies, valid and without their error field: the texts become one, all else follows in its
 * order, so that repeated fields gather and of any other the last counts. `to` has room for all
 * pieces and MERGE_EXTRA. Gives the size.
 */
size_t merge_replies(char *to, const struct brick_bytes *pieces, size_t n);

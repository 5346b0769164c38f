/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "match.h" /* struct place */

/* What is shorter hides nothing. */
#define BASE64_MIN 16   /* characters */
#define HEX_MIN 8       /* bytes */
#define BITS_MIN 4      /* bytes */
#define SELECTORS_MIN 6 /* bytes */
#define SINGLE_MIN 5    /* letters apart */

/*
 * Undoes one encoding from the offset `at` on. out has room for length bytes, and never needs more.
 * Returns how many it has written, and in *ret where in the text the encoding is, which is not
 * empty; 0: there is no more of it.
 */
typedef size_t decode_fn(const char *text, size_t length, size_t at, char *out, struct place *ret);

decode_fn decode_escapes, decode_base64, decode_hex, decode_binary, decode_selectors, decode_spaced,
        decode_leet, decode_rot13, decode_reversed;

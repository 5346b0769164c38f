/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the first character of s and returns its length, 1 to 4 bytes. 0: length is 0, or not
 * valid UTF-8; overlong forms and surrogates are not valid. */
size_t utf8_decode(const char *s, size_t length, uint32_t *ret);

bool utf8_valid(const char *s, size_t length);

/* The length of the longest prefix of at most max bytes that does not end inside a character. */
size_t utf8_prefix(const char *s, size_t length, size_t max);

/* Columns of a terminal: 0, 1 or 2. Good enough to put a caret below a character. */
unsigned utf8_width(uint32_t c);

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first character of s: its length in bytes, 1 to 4; 0: not UTF-8 (overlong and surrogates
 * are not), or length is 0. */
size_t utf8_decode(const char *s, size_t length, uint32_t *ret);

bool utf8_valid(const char *s, size_t length);

/* The longest prefix of at most max bytes that does not cut a character. */
size_t utf8_prefix(const char *s, size_t length, size_t max);

/*
 * Copies s to `to`, which has room for size bytes, and gives how many it has written. U+FFFD stands
 * for each byte that is not UTF-8. What does not fit is left out at the end, and an ellipsis stands
 * for it. 3 * length bytes are always enough.
 */
size_t utf8_repair(char *to, size_t size, const char *s, size_t length);

/* Columns of a terminal: 0, 1 or 2. Good enough to put a caret below a character. */
unsigned utf8_width(uint32_t c);

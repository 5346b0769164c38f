/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the first character of s and returns its length, 1 to 4 bytes. 0: length is 0, or not
 * valid UTF-8; overlong forms and surrogates are not valid. */
size_t utf8_decode(const char *s, size_t length, uint32_t *ret);

/* The same for length > 0 bytes that need not be UTF-8: a byte that is not counts as U+FFFD. */
size_t utf8_next(const char *s, size_t length, uint32_t *ret);

/* Writes a character and returns its length. A surrogate is written as if it were a character,
 * which is not valid UTF-8. c: at most U+10FFFF. */
size_t utf8_encode(uint32_t c, char out[static 4]);

bool utf8_valid(const char *s, size_t length);

/* The length of the longest prefix of at most max bytes that does not end inside a character. */
size_t utf8_prefix(const char *s, size_t length, size_t max);

/*
 * Characters that a terminal must not get unescaped, because they move its cursor, end a line or
 * change the direction of the text: control characters (C0, DEL, C1), the line and paragraph
 * separators, and the controls of bidirectional text.
 */
bool utf8_is_control(uint32_t c);

/*
 * Copies s to `to`, which has room for size bytes, and returns how many bytes it has written.
 * U+FFFD replaces each byte that is not UTF-8. If the text does not fit, it is cut and ends in an
 * ellipsis. 3 * length bytes are always enough.
 */
size_t utf8_repair(char *to, size_t size, const char *s, size_t length);

/* Columns of a terminal: 0, 1 or 2. Good enough to put a caret below a character. */
unsigned utf8_width(uint32_t c);

/*
 * Makes a text safe for a log, a terminal and a D-Bus message: '?' replaces each byte that is not
 * UTF-8 or belongs to a control character (utf8_is_control()), except '\n'.
 */
void utf8_clean(char *s, size_t length);

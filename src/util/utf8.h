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

/*
 * May not reach a terminal as it is: it moves the cursor, ends a line or changes the direction of
 * what follows. Control characters (C0, DEL, C1), the line and paragraph separators, and the
 * controls of bidirectional text.
 */
bool utf8_is_control(uint32_t c);

/*
 * Copies s to `to`, which has room for size bytes, and gives how many it has written. U+FFFD stands
 * for each byte that is not UTF-8. What does not fit is left out at the end, and an ellipsis stands
 * for it. 3 * length bytes are always enough.
 */
size_t utf8_repair(char *to, size_t size, const char *s, size_t length);

/* Columns of a terminal: 0, 1 or 2. Good enough to put a caret below a character. */
unsigned utf8_width(uint32_t c);

/*
 * Makes it fit for a log, a terminal and a message of D-Bus: each byte that is no UTF-8 or is part
 * of a control (utf8_is_control()) becomes '?'. '\n' stays.
 */
void utf8_clean(char *s, size_t length);

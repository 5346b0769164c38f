/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text[0], n > 0 bytes are there. What is not UTF-8 is U+FFFD and one byte long.
 */
uint32_t unicode_get(const char *text, size_t n, size_t *ret_length);

/* Returns the number of bytes written. Surrogates and what lies past U+10FFFF become U+FFFD. */
size_t unicode_put(char ret[static 4], uint32_t c);

bool unicode_valid(const char *text, size_t n);

/* The start of the character that text[at] belongs to. */
size_t unicode_floor(const char *text, size_t at);

/* White space of any script, and control characters. */
bool unicode_is_space(uint32_t c);

/* A character of a script that puts no spaces between words, or (Hangul) none before particles. */
bool unicode_is_unspaced(uint32_t c);

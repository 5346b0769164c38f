/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text[0], of n > 0 bytes. A byte that is not UTF-8 counts as U+FFFD. */
uint32_t unicode_get(const char *text, size_t n, size_t *ret_length);

/* Returns the number of bytes written. Writes U+FFFD for surrogates and values above U+10FFFF. */
size_t unicode_put(char ret[static 4], uint32_t c);

/* The start of the character that contains text[at]. */
size_t unicode_floor(const char *text, size_t at);

/* True: white space of any script, or a control character. */
bool unicode_is_space(uint32_t c);

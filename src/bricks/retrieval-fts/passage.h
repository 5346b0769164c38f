/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* No passage is longer, in bytes. */
#define PASSAGE_SIZE_MAX 2048

/*
 * Takes the next passage off the front of *text: whole paragraphs if they fit, else it ends at a
 * line, a sentence, a space, or at worst between two characters. False: nothing but space is left.
 * Two passages that follow each other are together longer than PASSAGE_SIZE_MAX / 2.
 */
bool passage_next(const char **text, size_t *n, const char **ret, size_t *ret_n);

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The longest passage, in bytes. */
#define PASSAGE_SIZE_MAX 2048

/*
 * Takes the next passage off the front of *text: whole paragraphs if they fit, otherwise up to the
 * end of a line or a sentence, a space, or any character. False: only white space is left. Two
 * consecutive passages together are longer than PASSAGE_SIZE_MAX / 2.
 */
bool passage_next(const char **text, size_t *n, const char **ret, size_t *ret_n);

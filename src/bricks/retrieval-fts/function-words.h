/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#define FUNCTION_LANGUAGES 8

/* French and Italian, whose articles lose their vowel before another. */
#define FUNCTION_ELIDING (1U << 2 | 1U << 4)

/* The languages, a bit for each, in which a word (lower case, no accents) is an article, a
 * preposition, a pronoun or another word that says nothing about the subject of a question. */
unsigned function_word(const char *word, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Folds text character by character to the form in which words are compared: lower case, no
 * accents, usual width, composed kana and Hangul, decimal digits of all scripts as ASCII digits.
 * Traditional Han characters become simplified ones if the build has OpenCC.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        FOLD_SEPARATOR,
        FOLD_WORD,
        FOLD_UNSPACED, /* of a script without spaces between words, or Hangul */
        FOLD_IGNORED,  /* shows nothing or only an accent: part of what is before it */
};

/* The longest folded character, in bytes. */
#define FOLD_SIZE_MAX 16

struct folded {
        char text[FOLD_SIZE_MAX];
        uint8_t n;
        uint8_t kind; /* FOLD_* */
        bool upper;
        bool digit;
        char umlaut; /* the letter after the first in another spelling: 'e' for u umlaut; or 0 */
};

/* The part of fold_next() for characters that ASCII does not have. */
size_t fold_wide(const char *text, size_t n, struct folded *ret);

/* Folds the character at text[0], of n > 0 bytes, and returns how many bytes it has. */
static inline size_t fold_next(const char *text, size_t n, struct folded *ret)
{
        char c = text[0];
        bool upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';

        if ((unsigned char)c >= 0x80 || (n > 1 && (unsigned char)text[1] >= 0x80))
                return fold_wide(text, n, ret);
        ret->text[0] = upper ? (char)(c | 0x20) : c;
        ret->n = 1;
        ret->kind = upper || digit || (c >= 'a' && c <= 'z') ? FOLD_WORD : FOLD_SEPARATOR;
        ret->upper = upper;
        ret->digit = digit;
        ret->umlaut = 0;
        return 1;
}

/* What folding depends on besides this program: the version of Unicode, and whether traditional and
 * simplified Han characters are one. */
const char *fold_version(void);
bool fold_has_han(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What two texts may have in common: words and their letter trigrams; in scripts without spaces,
 * characters and pairs of them. Case, accents, full width and the digits of numbers do not count.
 */

#include <stddef.h>
#include <stdint.h>

#define FEATURES_TEXT_MAX 2048 /* bytes of a text that are looked at */
#define FEATURES_MAX 512       /* different ones of a text; more are left out */

struct feature {
        uint32_t hash;
        uint16_t count;
        uint16_t start,
                length; /* bytes of the text: the word, or the characters, that it is from */
};

struct features {
        struct feature list[FEATURES_MAX]; /* in order of their hashes */
        size_t n;
};

/* text: in UTF-8. */
void features_of(const char *text, size_t length, struct features *ret);

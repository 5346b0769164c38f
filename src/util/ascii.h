/* SPDX-License-Identifier: MIT */
#pragma once

/* For whoever checks UTF-8: most text is ASCII. A header alone, so that the SDK has it, too. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two words, anywhere in memory. */
typedef uint64_t ascii_pair __attribute__((vector_size(16), aligned(1), may_alias));

#define ASCII_HIGH_BITS UINT64_C(0x8080808080808080)
#define ASCII_BLOCK (8 * sizeof(ascii_pair))

static inline bool ascii_is_block(const ascii_pair *p)
{
        ascii_pair all = p[0] | p[1] | p[2] | p[3] | p[4] | p[5] | p[6] | p[7];

        return !((all[0] | all[1]) & ASCII_HIGH_BITS);
}

static inline bool ascii_are_two(const ascii_pair *p)
{
        ascii_pair all = p[0] | p[1];

        return !((all[0] | all[1]) & ASCII_HIGH_BITS);
}

static inline bool ascii_is_word(const char *s)
{
        uint64_t word;

        memcpy(&word, s, sizeof word);
        return !(word & ASCII_HIGH_BITS);
}

/* The length of the ASCII prefix; checks many bytes at a time. */
static inline size_t ascii_prefix(const char *s, size_t length)
{
        size_t n = 0;

        while (length - n >= ASCII_BLOCK && ascii_is_block((const ascii_pair *)(s + n)))
                n += ASCII_BLOCK;
        while (length - n >= 2 * sizeof(ascii_pair) && ascii_are_two((const ascii_pair *)(s + n)))
                n += 2 * sizeof(ascii_pair);
        while (length - n >= 8 && ascii_is_word(s + n))
                n += 8;
        while (n < length && (unsigned char)s[n] < 0x80)
                n++;
        return n;
}

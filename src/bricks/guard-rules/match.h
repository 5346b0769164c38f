/* SPDX-License-Identifier: MIT */
#pragma once

/* Trying rules on one text. Any thread; many texts at once with the same rules. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules.h"

enum rule_state {
        RULE_PASSED,
        RULE_HIT,
        RULE_UNDECIDED, /* stopped at a limit */
};

/* What the rules say of one text. Lives in the caller's memory. */
struct match {
        const struct rules *rules;
        uint8_t *states;  /* [rule]: enum rule_state */
        size_t undecided; /* rules that are */

        const char *raw;
        size_t raw_length;
        const char *folded;
        size_t folded_length;
        struct span *spans; /* [rule]: where its regexes are still to be tried */
        size_t only;
        uint64_t start; /* CLOCK_MONOTONIC_COARSE, nanoseconds */
        uint64_t used;  /* by the thread, when the time was first found to be over; 0: not yet */
        bool over;      /* the thread's time is over as well */
};

/* Nanoseconds that a text may take, and then the thread for it, until what is left to try is left
 * undecided. */
#define MATCH_BUDGET (40 * UINT64_C(1000000))

/* A need counts for regexes that start at most so many bytes before or after it. */
#define MATCH_REACH 200

/* A match, and what it looks ahead to, ends at most so many bytes (and a few thousand, as it comes)
 * after it starts. */
#define MATCH_SIGHT 8192

#define MATCH_ALL SIZE_MAX /* rules, of all categories that are not off */

/* The memory that a text of this length takes, aligned as malloc() does. */
size_t match_size(const struct rules *rules, size_t length);

/*
 * Tries one rule, or MATCH_ALL. 0, or -EILSEQ: the text is not UTF-8. What ret points to lives in
 * memory, which has match_size() bytes.
 */
int match_text(struct match *ret, const struct rules *rules, size_t only, const char *text,
               size_t length, void *memory);

/* What a category comes to: 1 - (1 - score)(1 - score)... of its rules that hit. 0: none has. */
double match_score(const struct match *match, size_t category);

/*
 * "a, b and 3 more": the rules of a category that hit, or (category is MATCH_ALL) those of all
 * categories that were left undecided. Never a word of the text.
 */
void match_names(const struct match *match, size_t category, char *out, size_t size);

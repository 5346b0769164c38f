/* SPDX-License-Identifier: MIT */
#pragma once

/* Tries rules on one text. Any thread; several threads may use the same rules. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "rules.h"

enum rule_state {
        RULE_PASSED,
        RULE_HIT,
        RULE_UNDECIDED, /* stopped at a limit */
        RULE_TOUCHED,   /* while the text is judged: its regexes are to be tried */
};

/* Bytes of a text, from one offset to the other. */
struct place {
        size_t from;
        size_t to;
};

/* The results of the rules for one text, in the caller's memory. */
struct match {
        const struct rules *rules;
        uint8_t *states;      /* [rule]: enum rule_state */
        struct place *places; /* [rule]: where one that hit has matched, in the text that it sees */
        uint32_t *hits;       /* the rules that have hit, in ascending order */
        size_t n_hits;
        size_t undecided;   /* rules that are RULE_UNDECIDED */
        uint32_t encodings; /* set of 1 << enum encoding, of which the text has words */

        const char *raw;
        size_t raw_length;
        const char *folded;
        size_t folded_length;

        uint32_t *touched; /* the rules of which a need was found */
        size_t n_touched;
        size_t only;
        struct budget budget;
};

/* Nanoseconds that one text may take, as budget.h says. Rules that have not been tried then are
 * undecided. */
#define MATCH_BUDGET (40 * UINT64_C(1000000))

/* Near a need, regexes are tried at starting points at most this many bytes before or after it. */
#define MATCH_REACH 200

/* A match is found if it ends, with its lookahead, at most this many bytes after its start. It may
 * also be found if it is up to SLICE_MAX bytes longer. */
#define MATCH_SIGHT 8192

#define MATCH_ALL SIZE_MAX /* all rules of categories that are not off */

/* The bytes of memory that match_text() needs for a text of this length. */
size_t match_size(const struct rules *rules, size_t length);

/*
 * Tries one rule, or MATCH_ALL. 0, or -EILSEQ: the text is not UTF-8. `memory` has match_size()
 * bytes, aligned as from malloc(); ret points into it.
 */
int match_text(struct match *ret, const struct rules *rules, size_t only, const char *text,
               size_t length, void *memory);

/*
 * Writes "a, b and 3 more": the names of the rules of a category that hit, or, for MATCH_ALL, of
 * all rules that are undecided. It never contains a part of the text.
 */
void match_names(const struct match *match, size_t category, char *out, size_t size);

/* A literal that begins or ends with such a character is a hit only as a whole word. */
static inline bool match_is_word(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

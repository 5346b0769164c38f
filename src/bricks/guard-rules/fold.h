/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Folding makes texts that look the same to a reader the same for a rule. It implements small,
 * table-driven parts of Unicode's NFKC and of its list of confusable characters; see README.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Folds a text into out, which has room for length bytes: folding never makes a text longer. out
 * may be text itself. Returns the folded length, or SIZE_MAX: not UTF-8.
 */
size_t fold_text(const char *text, size_t length, char *out);

/*
 * Folds a text that arrives in pieces: the result does not depend on where it is cut. The caller
 * owns out and origins, which need room for as many bytes as come in, and zeroes the rest. To drop
 * bytes from the front of out and origins, lower n, word and first by their number; they must be
 * settled, and the letters of the last word must stay.
 */
struct folding {
        char *out;
        uint32_t *origins; /* [byte of out]: where its character begins in the text; NULL: not
                              wanted */
        size_t n;

        char space;        /* ' ' or '\n' to write before the next character; 0: none */
        uint32_t space_at; /* where this run of spaces begins in the text */
        bool han;          /* the last character is Chinese */

        /* the current word, if it has lookalikes */
        bool lookalike;
        bool latin;
        size_t word;  /* its first letter */
        size_t first; /* its first lookalike */
};

/* Folds the next piece, which has whole characters only; `at` is its place in the text. False: not
 * UTF-8. */
bool fold_more(struct folding *folding, const char *piece, size_t length, uint32_t at);

/* The text ends: everything in out is settled now. */
void fold_end(struct folding *folding);

/* The bytes at the front of out that no further piece can change. */
size_t fold_settled(const struct folding *folding);

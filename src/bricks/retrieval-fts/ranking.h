/* SPDX-License-Identifier: MIT */
#pragma once

/* The best passages of a search, at most one of each document. */

#include <stddef.h>
#include <stdint.h>

#include "scope.h"

struct candidate {
        int64_t rowid;
        double score;
        double weight; /* of its place in this ranking, from 0 to 1; for ranking_fuse() */
};

/* Best first; of equal ones, the one that came first. */
struct ranking {
        size_t n;
        size_t max;
        struct candidate open; /* the best passage so far of the document that comes */
        struct candidate items[];
};

/* NULL: out of memory. For free(). */
struct ranking *ranking_new(size_t max);

/* Adds passages in the order of their rowids, so that those of a document come together; then ends
 * it. */
void ranking_add(struct ranking *ranking, const struct candidate *candidate);
void ranking_end(struct ranking *ranking);

/*
 * Fuses two rankings by reciprocal rank: a document has weight / (60 + its place) from each that
 * has it, and its passage is that of the ranking that gives it more. NULL: out of memory.
 */
struct ranking *ranking_fuse(const struct ranking *a, const struct ranking *b);

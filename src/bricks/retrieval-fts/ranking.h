/* SPDX-License-Identifier: MIT */
#pragma once

/* The best passages of a search, at most one of each document. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scope.h"

struct marks;

struct candidate {
        int64_t rowid;
        double score;
        double weight;       /* of its place in this ranking, from 0 to 1; for ranking_fuse() */
        struct marks *marks; /* the ranking's copy; NULL: none */
};

/* Best first; of equal ones, the one that came first. */
struct ranking {
        size_t n;
        size_t max;
        struct candidate open; /* the best passage so far of the document that comes */
        struct candidate items[];
};

/* NULL: out of memory. */
struct ranking *ranking_new(size_t max);
struct ranking *ranking_free(struct ranking *ranking);
DEFINE_CLEANUP(struct ranking *, ranking_free);

/*
 * Adds passages in the order of their rowids, so that those of a document come together; then ends
 * it. candidate->marks is copied if the passage is good enough. False: out of memory.
 */
bool ranking_add(struct ranking *ranking, const struct candidate *candidate);
void ranking_end(struct ranking *ranking);

/*
 * Fuses two rankings by reciprocal rank: a document has weight / (60 + its place) from each that
 * has it, and its passage is that of the ranking that gives it more. Takes the marks of both. NULL:
 * out of memory.
 */
struct ranking *ranking_fuse(struct ranking *a, struct ranking *b);

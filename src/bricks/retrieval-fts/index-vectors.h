/* SPDX-License-Identifier: MIT */
#pragma once

/* The vectors of an index that is written. Functions return as those of index.h do. */

#include <stddef.h>
#include <stdint.h>

#include "scope.h"

struct index;

/* What makes the vectors of passages. */
struct index_embedding {
        const char *model;
        const char *prefix;
        const char *input_type;
};

/* A passage without a vector. */
struct index_bare {
        int64_t rowid;
        char *text; /* title and body; the caller's */
};

/* 1: the vectors of the index were made in this way; 0: in another one, or there are none. */
int index_embedding_is(struct index *index, const struct index_embedding *embedding);

/* Starts: vectors that were made in another way are deleted. */
int index_embedding_begin(struct index *index, const struct index_embedding *embedding);

/* The number of passages without a vector. */
int index_bare_count(struct index *index, int64_t *ret);

/*
 * The next passages without a vector behind `after`. Those whose text has a vector in the index are
 * given it: *ret_known is how many; ret has the *ret_n others, whose text is to be freed. If both
 * together are fewer than max, they are the last. *ret_last: the rowid to go on from.
 */
int index_bare_next(struct index *index, int64_t after, size_t max, struct index_bare *ret,
                    size_t *ret_n, size_t *ret_known, int64_t *ret_last);

/* Gives a passage its vector of so many components. -EINVAL: it has no direction, or another
 * dimension than those before. */
int index_vector_add(struct index *index, const struct index_bare *bare, const float *vector,
                     size_t dimension);

/* Makes all that was added so far safe. */
int index_vectors_commit(struct index *index);

/* Ends: deletes vectors that no passage has, and makes the others visible to searches. */
int index_embedding_end(struct index *index);

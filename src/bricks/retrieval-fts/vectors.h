/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The vectors of an index in memory, as one long row, because reading them from the file would take
 * many times longer than comparing them. Immutable once read; shared and counted.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ranking.h"
#include "schema.h"

struct vectors;

/* What the index says of its vectors. */
struct vectors_info {
        char model[256];
        size_t dimension; /* 0: there are none */
        int64_t generation;
};

/* Reads the table embedding. Returns an SQLite result code. */
int vectors_info_read(sqlite3_stmt *statement, struct vectors_info *ret);

/* Reads all vectors by a statement that gives passage and bytes, in the order of passages. Returns
 * an SQLite result code; SQLITE_CORRUPT: a vector is not of this dimension. */
int vectors_read(sqlite3_stmt *statement, const struct vectors_info *info, struct vectors **ret);

const struct vectors_info *vectors_info(const struct vectors *vectors);
struct vectors *vectors_ref(struct vectors *vectors);
struct vectors *vectors_unref(struct vectors *vectors);

/*
 * Ranks the best passage of each document among those that the statistics call visible, by the
 * cosine of its vector and the query's. Returns SQLITE_OK, or SQLITE_INTERRUPT once cancelled(user)
 * says so, which may be NULL.
 */
int vectors_rank(const struct vectors *vectors, const float *query,
                 const struct statistics *statistics, bool (*cancelled)(void *user), void *user,
                 struct ranking *ranking);

/* SPDX-License-Identifier: MIT */
#pragma once

/* One connection to an index that is read. Used by one thread at a time. */

#include <sqlite3.h>
#include <stdbool.h>

#include "frequency.h"
#include "scope.h"
#include "search.h"
#include "version.h"

enum {
        STATEMENT_MATCH,
        STATEMENT_PASSAGE,
        STATEMENT_DOCUMENT,
        STATEMENT_AUDIENCES,
        STATEMENT_VERSION,
        STATEMENT_EMBEDDING,
        STATEMENT_VECTORS,
        N_STATEMENTS,
};

struct vectors;

struct reader {
        struct reader *next;
        sqlite3 *db;
        struct vocabulary *vocabulary;
        sqlite3_stmt *statements[N_STATEMENTS];
        struct frequency frequency;
        struct version version; /* of the file, when the search began */
        bool damaged;           /* the search has found that the file is damaged */
};

/* Steps of SQLite's virtual machine between two calls of a progress handler: about 0.1 ms. */
#define READER_STEPS 1000

struct reader *reader_free(struct reader *reader);
DEFINE_CLEANUP(struct reader *, reader_free);

/* Opens the file and checks that it is an index. 0, SEARCH_E_UNAVAILABLE, -ENOMEM. */
int reader_open(const char *path, struct reader **ret, struct search_error *error);

/* The vectors of an index, and that of the query, of the same dimension. */
struct search_meaning {
        const struct vectors *vectors;
        const float *query;
};

/*
 * Runs a search in one read transaction, so that ranking and showing see the same data. Without an
 * expression only meaning counts, which may be NULL otherwise. 0, SEARCH_E_*, or the negative errno
 * of hit().
 */
int reader_search(struct reader *reader, const char *path, const struct search_query *query,
                  const char *expression, const struct search_meaning *meaning,
                  struct search_error *error);

/* Makes an error from a result code of SQLite: SEARCH_E_*. Notes in the reader if the file is
 * damaged. */
int reader_failed(struct reader *reader, const char *path, int code, struct search_error *error);

/* Makes an error: SEARCH_E_UNAVAILABLE. */
__attribute__((format(printf, 2, 3))) int reader_unavailable(struct search_error *error,
                                                             const char *format, ...);

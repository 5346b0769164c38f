/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The tables of an index file, and the extensions of SQLite's FTS5 that they need.
 *
 *   file        a row for each file that was read: path, mtime, size, groups
 *   audience    a row for each set of groups that may find the same documents, with the numbers of
 *               its documents and passages. Row 0 is everybody's
 *   embedding   the model of the vectors, if there are any; vector and passage_vector have them
 *   document    a row for each document: a file, or a line of a JSON file
 *   passage     the full-text index: passages of about 1 to 2 KiB. See rowid.h
 *   tokenizer   one row: tokenizer_version() of the program that made the file
 *
 * Every connection registers in FTS5
 *
 *   tokenizer brick
 *               words are folded and stemmed; see words.h. A run of a script without spaces becomes
 *               overlapping pairs of characters, so that one character is a prefix. The strings of
 *               a query are taken as tokens
 *   score(passage, statistics)
 *               BM25 of title and body, times the share of the query that the passage has, of which
 *               rare terms are a larger part than common ones
 *
 *   excerpt(passage, statistics, words)
 *               the words of the body that show most of the query
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "rowid.h"

#define SCHEMA_APPLICATION_ID 0x42524654 /* "BRFT" */
#define SCHEMA_VERSION 2

/* The longest text in the file, in bytes. */
#define SCHEMA_TEXT_SIZE_MAX (64 << 20)

/* Limits of a document's metadata, including what brickctl index adds. It is sent with every answer
 * as a Struct, and gRPC peers limit the nesting of messages. */
#define SCHEMA_METADATA_SIZE_MAX (64 << 10)
#define SCHEMA_METADATA_DEPTH_MAX 16

enum { SCHEMA_TITLE, SCHEMA_BODY }; /* columns of passage */

/* score() and excerpt() use one bit of a uint64_t for each term. */
#define SCHEMA_TERMS_MAX 64

/* Where a passage's body has terms of the query. One that has more of them than there is room for
 * has the first ones here. */
#define MARKS_MAX 128

struct marks {
        unsigned n;
        struct mark {
                uint16_t word; /* its number in the body */
                uint16_t term;
        } items[MARKS_MAX];
};

/*
 * What score() and excerpt() know of a query. The caller sets the first part and binds the struct
 * with sqlite3_bind_pointer() and this type; the first score() of a search fills in the rest. All
 * of it is of the passages that the search may find.
 */
#define STATISTICS_TYPE "retrieval-fts-statistics"

struct statistics {
        uint64_t visible[ROWID_AUDIENCES / 64]; /* a bit for each audience that may be found */
        sqlite3_int64 rows;
        double average_size[2];                   /* of title and body, in words */
        sqlite3_int64 passages[SCHEMA_TERMS_MAX]; /* that have each term; -1: to be counted */

        bool ready;
        int n;                           /* terms */
        double rarity[SCHEMA_TERMS_MAX]; /* inverse document frequency; 0: a term without words */
        double rarity_sum;
        uint64_t telling;  /* a bit for each term that is not common */
        uint64_t counting; /* a bit for each term that is not in most passages */

        /* The number of each term in the expression that score() works for; -1: it is not there. */
        int8_t numbers[SCHEMA_TERMS_MAX];
        double title_norm[ROWID_TITLE_LEVELS]; /* BM25's normalisation by length */
        double body_norm[ROWID_BODY_LEVELS];

        /* Of the passage that score() has rated last: the share of the query that it has, and where
         * it has it. */
        double share;
        struct marks marks;

        const struct marks *shown; /* of the passage for excerpt(); NULL: none. The caller's */
};

static inline bool statistics_is_visible(const struct statistics *s, sqlite3_int64 rowid)
{
        unsigned audience = rowid_audience(rowid);

        return s->visible[audience / 64] >> audience % 64 & 1;
}

/*
 * Makes a new connection safe for a file that somebody else may have made or changed: SQLite then
 * runs no code from its schema. Returns an SQLite result code.
 */
int schema_distrust(sqlite3 *db);

/* Registers the tokenizer and the functions on one connection. Returns an SQLite result code. */
int schema_register(sqlite3 *db);

/* What the tokens of an index depend on. An index that says something else must be made again. */
#define TOKENIZER_VERSION_SIZE 96
void tokenizer_version(char ret[static TOKENIZER_VERSION_SIZE]);

/* Whether an open index was made with this tokenizer; *ret_version is the one that it was made
 * with. Returns an SQLite result code. */
int schema_tokenizer_check(sqlite3 *db, bool *ret_same,
                           char ret_version[static TOKENIZER_VERSION_SIZE]);
int schema_tokenizer_write(sqlite3 *db);

/* The parts of schema_register(). */
int tokenizer_register(fts5_api *api);
int rank_register(fts5_api *api);

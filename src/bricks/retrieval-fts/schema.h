/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The tables of an index file, and the extensions of SQLite's FTS5 that they need.
 *
 *   file        a row for each file that was read: path, mtime, size
 *   document    a row for each document: a file, or a line of a JSON file
 *   statistics  one row: the numbers of documents and of passages
 *   passage     the full-text index: passages of about 1 to 2 KiB. The rowid has the id of the
 *               document: SCHEMA_ROWID()
 *
 * Every connection registers in FTS5
 *
 *   tokenizer brick
 *               words are folded and stemmed by FTS5's own tokenizers. A run of a script without
 *               spaces becomes overlapping pairs of characters, so that a substring of two or more
 *               characters is a phrase, and one character is a prefix
 *   score(passage, statistics)
 *               BM25 of title and body, times the square of the share of the query that the passage
 *               has; rare terms are a larger share than common ones
 *   excerpt(passage, statistics, words)
 *               the words of the body that show most of the query
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define SCHEMA_APPLICATION_ID 0x42524654 /* "BRFT" */
#define SCHEMA_VERSION 1

/* The longest text in the file, in bytes. */
#define SCHEMA_TEXT_SIZE_MAX (64 << 20)

/* Limits of a document's metadata, including what brickctl index adds. It is sent with every answer
 * as a Struct, and gRPC peers limit the nesting of messages. */
#define SCHEMA_METADATA_SIZE_MAX (64 << 10)
#define SCHEMA_METADATA_DEPTH_MAX 16

/* Passages of one document have consecutive rowids. */
#define SCHEMA_PASSAGE_BITS 16
#define SCHEMA_PASSAGES_MAX (1 << SCHEMA_PASSAGE_BITS)
#define SCHEMA_ROWID(document, number) ((sqlite3_int64)(document) << SCHEMA_PASSAGE_BITS | (number))
#define SCHEMA_DOCUMENT(rowid) ((rowid) >> SCHEMA_PASSAGE_BITS)
#define SCHEMA_NUMBER(rowid) ((int)((rowid) & (SCHEMA_PASSAGES_MAX - 1)))

enum { SCHEMA_TITLE, SCHEMA_BODY }; /* columns of passage */

/* score() and excerpt() use one bit of a uint64_t for each term. */
#define SCHEMA_TERMS_MAX 64

/*
 * Statistics of a query's terms, for score() and excerpt(). The caller binds a zeroed struct with
 * sqlite3_bind_pointer() and this type; the first score() of a search fills it in.
 */
#define STATISTICS_TYPE "retrieval-fts-statistics"

struct statistics {
        bool ready;
        int n;                           /* terms */
        double rarity[SCHEMA_TERMS_MAX]; /* inverse document frequency; 0: a term without words */
        double rarity_sum;
        uint64_t telling;       /* a bit for each term that is not common; all bits if all are */
        double average_size[2]; /* of title and body, in words */
};

/*
 * Makes a new connection safe for a file that somebody else may have made or changed: SQLite then
 * runs no code from its schema. Returns an SQLite result code.
 */
int schema_distrust(sqlite3 *db);

/* Registers the tokenizer and the functions on one connection. Returns an SQLite result code. */
int schema_register(sqlite3 *db);

/* The parts of schema_register(). */
int tokenizer_register(fts5_api *api);
int rank_register(fts5_api *api);

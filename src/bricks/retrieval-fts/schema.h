/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The index file, and what it adds to SQLite's FTS5. The file has
 *
 *   file      one row per file read: path, mtime, size
 *   document  one row per document: a file is one, or one per line of JSON
 *   statistics  one row: how many documents and passages
 *   passage   the full-text index: passages of about 1 to 2 KiB. The rowid says whose:
 * SCHEMA_ROWID()
 *
 * FTS5 is given three things, on every connection:
 *
 *   tokenizer brick   words, folded and stemmed by FTS5's own tokenizers; runs of scripts without
 *                     spaces as overlapping pairs of characters, so that every substring of two or
 *                     more characters is a phrase, and one character is a prefix
 *   score(passage, statistics)
 *                     BM25 of title and body, times the square of the share of the query that is
 *                     there, rare terms being a larger part of the query than common ones
 *   excerpt(passage, statistics, words)
 *                     the words of the body that show most of the query
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define SCHEMA_APPLICATION_ID 0x42524654 /* "BRFT" */
#define SCHEMA_VERSION 1

/* No text in the file is longer, in bytes. */
#define SCHEMA_TEXT_SIZE_MAX (64 << 20)

/* Metadata, with what brickctl index adds to the document's own. It is sent with every answer, as a
 * Struct, whose nesting gRPC peers limit. */
#define SCHEMA_METADATA_SIZE_MAX (64 << 10)
#define SCHEMA_METADATA_DEPTH_MAX 16

/* Passages of one document have consecutive rowids. */
#define SCHEMA_PASSAGE_BITS 16
#define SCHEMA_PASSAGES_MAX (1 << SCHEMA_PASSAGE_BITS)
#define SCHEMA_ROWID(document, number) ((sqlite3_int64)(document) << SCHEMA_PASSAGE_BITS | (number))
#define SCHEMA_DOCUMENT(rowid) ((rowid) >> SCHEMA_PASSAGE_BITS)
#define SCHEMA_NUMBER(rowid) ((int)((rowid) & (SCHEMA_PASSAGES_MAX - 1)))

enum { SCHEMA_TITLE, SCHEMA_BODY }; /* columns of passage */

/* score() and excerpt() count terms in one word of bits. */
#define SCHEMA_TERMS_MAX 64

/*
 * What is known of a query's terms: made by the first score() of a search, used by all, and by
 * excerpt(). The caller binds a zeroed one, with sqlite3_bind_pointer() and this type.
 */
#define STATISTICS_TYPE "retrieval-fts-statistics"

struct statistics {
        bool ready;
        int n;                           /* terms */
        double rarity[SCHEMA_TERMS_MAX]; /* inverse document frequency; 0: a term without words */
        double rarity_sum;
        uint64_t telling;       /* terms that are not common; all, if there are no others */
        double average_size[2]; /* of title and body, in words */
};

/*
 * Of a connection that is new: a file that somebody else has made, or changed, may have in its
 * schema nothing that SQLite would run of its own accord. An SQLite result code.
 */
int schema_distrust(sqlite3 *db);

/* Makes the tokenizer and the functions known to one connection. An SQLite result code. */
int schema_register(sqlite3 *db);

/* The parts of schema_register(). */
int tokenizer_register(fts5_api *api);
int rank_register(fts5_api *api);

/* SPDX-License-Identifier: MIT */
#pragma once

/* What the parts of index.h share: the connection, its statements and its errors. */

#include <sqlite3.h>

#include "index-vectors.h"
#include "index.h"

enum {
        SQL_BEGIN,
        SQL_COMMIT,
        SQL_FILE_GET,
        SQL_FILE_ADD,
        SQL_FILE_END,
        SQL_FILE_DELETE,
        SQL_FILES_UNMET,
        SQL_FILES_IN,
        SQL_MET,
        SQL_AUDIENCE_FIND,
        SQL_AUDIENCE_ADD,
        SQL_AUDIENCES_CLEAN,
        SQL_DOCUMENT_FIND,
        SQL_DOCUMENT_AUDIENCE,
        SQL_DOCUMENTS_OF,
        SQL_DOCUMENT_ADD,
        SQL_DOCUMENT_END,
        SQL_DOCUMENT_DELETE,
        SQL_PASSAGE_ADD,
        SQL_PASSAGES_DELETE,
        SQL_MERGE,
        SQL_OPTIMIZE,
        SQL_STATISTICS,
        SQL_EMBEDDING_GET,
        SQL_EMBEDDING_SET,
        SQL_EMBEDDING_CHANGED,
        SQL_PASSAGES_BARE,
        SQL_PASSAGES_COUNT_BARE,
        SQL_VECTOR_FIND,
        SQL_VECTOR_ADD,
        SQL_VECTORS_CLEAN,
        SQL_VECTORS_CLEAR,
        SQL_PASSAGE_VECTOR_ADD,
        SQL_PASSAGE_VECTORS_DELETE,
        SQL_PASSAGE_VECTORS_CLEAR,
        N_SQL,
};

struct index {
        char *path;
        sqlite3 *db;
        sqlite3_stmt *sql[N_SQL];
        struct index_file file; /* the file that is being read */
        sqlite3_int64 file_id;
        size_t batch; /* bytes in the open transaction */
        bool changed; /* the index has changed since it was opened */
        struct index_embedding embedding;
        int64_t dimension; /* of the vectors; 0: there are none */
        int64_t added;     /* passages since then */
        int lock;          /* see lock.h */
        char error[512];
};

/* Opens the connection. On failure index->error is a message, or empty if out of memory. */
int index_db_open(struct index *index, void (*waiting)(const char *path));
void index_db_close(struct index *index);

/* Note the reason in index->error and return a negative errno: that of SQLite's last error, and why
 * the file is damaged. */
int index_failed(struct index *index);
int index_damaged(struct index *index, const char *why);

int index_exec(struct index *index, const char *sql);

/* Runs a statement that returns no rows, with parameters bound. */
int index_run(struct index *index, int which);

/* The same with an id for the first parameter. */
int index_run_id(struct index *index, int which, sqlite3_int64 id);

/* Runs a statement that returns one id or none. 1: *ret is the id; 0: none. */
int index_find_id(struct index *index, int which, sqlite3_int64 *ret);

/* The text must live until the statement has run. */
void index_bind_text(struct index *index, int which, int parameter, const char *text);

/* Starts a transaction unless one is open, and commits it. */
int index_batch_begin(struct index *index);
int index_batch_commit(struct index *index);

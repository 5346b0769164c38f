/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "schema.h"
#include "vocabulary.h"

/* In WAL mode, readers wait only while the file is recovered after a crash. */
#define BUSY_TIMEOUT_MS 2000

static const char *const statement_sql[N_STATEMENTS] = {
        [STATEMENT_MATCH] = "SELECT rowid, score(passage, ?2) FROM passage"
                            " WHERE passage MATCH ?1 ORDER BY rowid",
        [STATEMENT_PASSAGE] = "SELECT excerpt(passage, ?1, ?2), body FROM passage WHERE rowid = ?3",
        [STATEMENT_DOCUMENT] = "SELECT key, title, metadata, passages FROM document WHERE id = ?1",
        [STATEMENT_VERSION] = "PRAGMA data_version",
        [STATEMENT_EMBEDDING] = "SELECT model, dimension, generation FROM embedding",
        [STATEMENT_VECTORS] = "SELECT p.passage, v.bytes FROM passage_vector AS p"
                              " JOIN vector AS v ON v.id = p.vector ORDER BY p.passage",
        [STATEMENT_AUDIENCES] = "SELECT id, groups, documents, passages, title_words, body_words"
                                " FROM audience ORDER BY id LIMIT 1025",
};

int reader_unavailable(struct search_error *error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
        return SEARCH_E_UNAVAILABLE;
}

/* SQLite's message for a result code. */
static const char *reason(struct reader *reader, int code)
{
        return sqlite3_errcode(reader->db) == (code & 0xff) ? sqlite3_errmsg(reader->db)
                                                            : sqlite3_errstr(code);
}

int reader_failed(struct reader *reader, const char *path, int code, struct search_error *error)
{
        switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_ERROR: /* a table or a column has another definition */
        case SQLITE_FORMAT:
        case SQLITE_MISMATCH:
        case SQLITE_TOOBIG:
                reader->damaged = true;
                return reader_unavailable(
                        error, "%s is damaged (%s): remove it and run brickctl index again", path,
                        reason(reader, code));
        case SQLITE_INTERRUPT:
                (void)snprintf(error->text, sizeof error->text, "cancelled");
                return SEARCH_E_CANCELLED;
        case SQLITE_NOMEM: /* FTS5 does not check the lengths that it reads */
                return reader_unavailable(
                        error,
                        "%s cannot be searched for lack of memory; if there is enough, "
                        "it is damaged: remove it and run brickctl index again",
                        path);
        case SQLITE_NOTADB:
                return reader_unavailable(error, "%s is not an index of brickctl index", path);
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_READONLY:
                return reader_unavailable(
                        error,
                        "%s cannot be read: it, %s-wal and %s-shm must be readable, or "
                        "their directory writable",
                        path, path, path);
        default:
                return reader_unavailable(error, "%s: %s", path, reason(reader, code));
        }
}

struct reader *reader_free(struct reader *reader)
{
        for (size_t i = 0; i < N_STATEMENTS; i++)
                sqlite3_finalize(reader->statements[i]);
        if (reader->vocabulary)
                vocabulary_free(reader->vocabulary);
        sqlite3_close(reader->db);
        free(reader);
        return NULL;
}

/* SQLite opens the file at the first statement, so this fails if it cannot be opened. */
static int pragma_int(sqlite3 *db, const char *sql, int *ret)
{
        sqlite3_stmt *statement;
        int r;

        r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (r != SQLITE_OK)
                return r;
        if (sqlite3_step(statement) == SQLITE_ROW)
                *ret = sqlite3_column_int(statement, 0);
        return sqlite3_finalize(statement);
}

/* Another version has made the index: waiting does not help. */
#define AGAIN "remove it and run brickctl index again"

static int tokenizer_check(struct reader *reader, const char *path, struct search_error *error)
{
        char theirs[TOKENIZER_VERSION_SIZE], ours[TOKENIZER_VERSION_SIZE];
        bool same;
        int r;

        r = schema_tokenizer_check(reader->db, &same, theirs);
        if (r != SQLITE_OK)
                return reader_failed(reader, path, r, error);
        if (same)
                return 0;
        tokenizer_version(ours);
        return reader_unavailable(error, "%s was made with tokenizer %s, this brick has %s; " AGAIN,
                                  path, theirs, ours);
}

static int reader_check(struct reader *reader, const char *path, struct search_error *error)
{
        int id = 0, version = 0, r;

        r = pragma_int(reader->db, "PRAGMA application_id", &id);
        if (r == SQLITE_OK)
                r = pragma_int(reader->db, "PRAGMA user_version", &version);
        if (r != SQLITE_OK)
                return reader_failed(reader, path, r, error);
        if (id != SCHEMA_APPLICATION_ID)
                return reader_unavailable(error, "%s is not an index of brickctl index", path);
        if (version == SCHEMA_VERSION)
                return tokenizer_check(reader, path, error);
        return reader_unavailable(error, "%s has format %d, this brick reads %d; " AGAIN, path,
                                  version, SCHEMA_VERSION);
}

int reader_open(const char *path, struct reader **ret, struct search_error *error)
{
        _cleanup_(reader_freep) struct reader *reader = NULL;
        int r;

        reader = calloc(1, sizeof *reader);
        if (!reader)
                return -ENOMEM;
        r = sqlite3_open_v2(path, &reader->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
        if (!reader->db)
                return -ENOMEM;
        if (r == SQLITE_OK)
                r = sqlite3_busy_timeout(reader->db, BUSY_TIMEOUT_MS);
        if (r == SQLITE_OK)
                r = schema_distrust(reader->db);
        if (r == SQLITE_OK)
                r = schema_register(reader->db);
        if (r != SQLITE_OK)
                return reader_failed(reader, path, r, error);
        r = reader_check(reader, path, error);
        if (r != 0)
                return r;
        reader->vocabulary = vocabulary_new(reader->db);
        if (!reader->vocabulary)
                return -ENOMEM;
        for (size_t i = 0; i < N_STATEMENTS; i++) {
                r = sqlite3_prepare_v3(reader->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &reader->statements[i], NULL);
                if (r != SQLITE_OK)
                        return reader_failed(reader, path, r, error);
        }
        *ret = TAKE_PTR(reader);
        return 0;
}

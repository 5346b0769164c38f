/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "index-own.h"
#include "passage.h"
#include "rowid.h"

/* How long the last checkpoint waits for readers. It empties the log; if it fails, the log only
 * stays larger. */
#define CHECKPOINT_TIMEOUT_MS 200

/* Bytes of documents after which a batch, one transaction, is committed. This bounds the
 * write-ahead log. */
#define BATCH_SIZE (16 << 20)

/* The share of new passages from which the full-text index is made one segment. */
#define OPTIMIZE_SHARE 4

struct index *index_free(struct index *index)
{
        if (!index)
                return NULL;
        index_db_close(index);
        free(index->path);
        free(index);
        return NULL;
}

int index_open(const char *path, void (*waiting)(const char *path), struct index **ret,
               char **error)
{
        _cleanup_(index_freep) struct index *index = NULL;
        int r;

        *error = NULL;
        index = calloc(1, sizeof *index);
        if (!index)
                return -ENOMEM;
        index->lock = -1;
        index->path = strdup(path);
        if (!index->path)
                return -ENOMEM;
        r = index_db_open(index, waiting);
        if (r < 0) {
                *error = strdup(index->error);
                return r;
        }
        *ret = TAKE_PTR(index);
        return 0;
}

const char *index_error(struct index *index)
{
        return index->error;
}

/* Deletes a row that was found through an index of the database. If the table does not have it, the
 * file is damaged. */
static int delete_id(struct index *index, int which, sqlite3_int64 id)
{
        int r;

        r = index_run_id(index, which, id);
        if (r == 0 && sqlite3_changes(index->db) == 0)
                return index_damaged(index, "a row is missing");
        return r;
}

static int delete_range(struct index *index, int which, sqlite3_int64 audience,
                        sqlite3_int64 document)
{
        sqlite3_bind_int64(index->sql[which], 1, rowid_first(audience, document));
        sqlite3_bind_int64(index->sql[which], 2, rowid_last(audience, document));
        return index_run(index, which);
}

static int document_delete(struct index *index, sqlite3_int64 id)
{
        sqlite3_int64 audience;
        int r;

        sqlite3_bind_int64(index->sql[SQL_DOCUMENT_AUDIENCE], 1, id);
        r = index_find_id(index, SQL_DOCUMENT_AUDIENCE, &audience);
        if (r <= 0)
                return r < 0 ? r : index_damaged(index, "a row is missing");
        if (audience < 0 || audience >= ROWID_AUDIENCES || id < 0 || id >= ROWID_DOCUMENTS)
                return index_damaged(index, "a document has no valid number");
        index->changed = true;
        return delete_range(index, SQL_PASSAGES_DELETE, audience, id)
                       ?: delete_range(index, SQL_PASSAGE_VECTORS_DELETE, audience, id)
                       ?: delete_id(index, SQL_DOCUMENT_DELETE, id);
}

static int documents_delete(struct index *index, sqlite3_int64 file)
{
        sqlite3_int64 id;
        int r;

        sqlite3_bind_int64(index->sql[SQL_DOCUMENTS_OF], 1, file);
        while ((r = index_find_id(index, SQL_DOCUMENTS_OF, &id)) > 0) {
                r = document_delete(index, id);
                if (r < 0)
                        return r;
        }
        return r;
}

static bool text_is(sqlite3_stmt *statement, int i, const char *expected)
{
        const char *s = (const char *)sqlite3_column_text(statement, i);

        return s && strcmp(s, expected) == 0;
}

/* 1: the index has the file; *ret_same: the file has not changed since it was read. 0: it is new.
 */
static int file_find(struct index *index, const struct index_file *file, sqlite3_int64 *ret_id,
                     bool *ret_same)
{
        sqlite3_stmt *get = index->sql[SQL_FILE_GET];
        int r;

        index_bind_text(index, SQL_FILE_GET, 1, file->path);
        r = sqlite3_step(get);
        if (r == SQLITE_ROW) {
                *ret_id = sqlite3_column_int64(get, 0);
                *ret_same = sqlite3_column_int64(get, 1) == file->mtime &&
                            sqlite3_column_int64(get, 2) == file->size &&
                            text_is(get, 3, file->groups);
        }
        sqlite3_reset(get);
        if (r == SQLITE_ROW)
                return 1;
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

static int file_add(struct index *index, const char *path, sqlite3_int64 *ret)
{
        int r;

        index_bind_text(index, SQL_FILE_ADD, 1, path);
        r = index_run(index, SQL_FILE_ADD);
        *ret = sqlite3_last_insert_rowid(index->db);
        return r;
}

int index_begin(struct index *index, const struct index_file *file)
{
        bool same = false;
        int found, r;

        found = file_find(index, file, &index->file_id, &same);
        if (found < 0)
                return found;
        if (found && same)
                return index_run_id(index, SQL_MET, index->file_id) ?: INDEX_E_UNCHANGED;
        r = index_batch_begin(index);
        if (r == 0)
                r = found ? documents_delete(index, index->file_id)
                          : file_add(index, file->path, &index->file_id);
        if (r == 0)
                r = index_run_id(index, SQL_MET, index->file_id);
        index->file = *file;
        return r;
}

/* The number of the audience that has these groups, which is made if it is new. */
static int audience_get(struct index *index, const char *groups, sqlite3_int64 *ret)
{
        int r;

        index_bind_text(index, SQL_AUDIENCE_FIND, 1, groups);
        r = index_find_id(index, SQL_AUDIENCE_FIND, ret);
        if (r == 0) {
                index_bind_text(index, SQL_AUDIENCE_ADD, 1, groups);
                r = index_run(index, SQL_AUDIENCES_CLEAN) ?: index_run(index, SQL_AUDIENCE_ADD);
                *ret = sqlite3_last_insert_rowid(index->db);
        }
        if (r < 0 || (*ret >= 0 && *ret < ROWID_AUDIENCES))
                return r < 0 ? r : 0;
        (void)snprintf(index->error, sizeof index->error,
                       "%s: the documents have more than %d different sets of groups", index->path,
                       ROWID_AUDIENCES);
        return -E2BIG;
}

static int document_replace(struct index *index, const struct index_document *document,
                            sqlite3_int64 audience, sqlite3_int64 *ret)
{
        sqlite3_int64 old;
        int r;

        index_bind_text(index, SQL_DOCUMENT_FIND, 1, document->key);
        r = index_find_id(index, SQL_DOCUMENT_FIND, &old);
        if (r > 0)
                r = document_delete(index, old);
        if (r < 0)
                return r;
        index_bind_text(index, SQL_DOCUMENT_ADD, 1, document->key);
        sqlite3_bind_int64(index->sql[SQL_DOCUMENT_ADD], 2, index->file_id);
        sqlite3_bind_int64(index->sql[SQL_DOCUMENT_ADD], 3, audience);
        index_bind_text(index, SQL_DOCUMENT_ADD, 4, document->title);
        index_bind_text(index, SQL_DOCUMENT_ADD, 5, document->metadata);
        r = index_run(index, SQL_DOCUMENT_ADD);
        *ret = sqlite3_last_insert_rowid(index->db);
        if (r < 0 || *ret < ROWID_DOCUMENTS)
                return r;
        (void)snprintf(index->error, sizeof index->error,
                       "%s has numbered all the documents it can: remove it and run brickctl index "
                       "again",
                       index->path);
        return -E2BIG;
}

static int passages_add(struct index *index, sqlite3_int64 audience, sqlite3_int64 id,
                        const struct index_document *document)
{
        size_t left = document->n, n, words, title_words, body_words = 0;
        const char *text = document->text, *passage;
        sqlite3_stmt *add = index->sql[SQL_PASSAGE_ADD], *end = index->sql[SQL_DOCUMENT_END];
        int number = 0, r;

        title_words = rowid_words(document->title, strlen(document->title));
        for (; passage_next(&text, &left, &passage, &n); number++) {
                words = rowid_words(passage, n);
                body_words += words;
                sqlite3_bind_int64(add, 1, rowid_make(audience, id, number, title_words, words));
                index_bind_text(index, SQL_PASSAGE_ADD, 2, document->title);
                sqlite3_bind_text(add, 3, passage, (int)n, SQLITE_STATIC);
                r = index_run(index, SQL_PASSAGE_ADD);
                if (r < 0)
                        return r;
        }
        index->added += number;
        sqlite3_bind_int64(end, 2, number);
        sqlite3_bind_int64(end, 3, (sqlite3_int64)title_words * number);
        sqlite3_bind_int64(end, 4, (sqlite3_int64)body_words);
        return index_run_id(index, SQL_DOCUMENT_END, id);
}

int index_add(struct index *index, const struct index_document *document)
{
        sqlite3_int64 audience, id;
        int r;

        if (document->n / (PASSAGE_SIZE_MAX / 4) >= ROWID_NUMBERS)
                return INDEX_E_TOO_LONG;
        r = index_batch_begin(index);
        if (r == 0)
                r = audience_get(index, document->groups ?: index->file.groups, &audience);
        if (r == 0)
                r = document_replace(index, document, audience, &id);
        if (r == 0)
                r = passages_add(index, audience, id, document);
        if (r < 0)
                return r;
        index->changed = true;
        index->batch += document->n;
        return index->batch > BATCH_SIZE ? index_batch_commit(index) : 0;
}

int index_end(struct index *index)
{
        int r;

        r = index_batch_begin(index);
        if (r < 0)
                return r;
        sqlite3_bind_int64(index->sql[SQL_FILE_END], 2, index->file.mtime);
        sqlite3_bind_int64(index->sql[SQL_FILE_END], 3, index->file.size);
        index_bind_text(index, SQL_FILE_END, 4, index->file.groups);
        return index_run_id(index, SQL_FILE_END, index->file_id);
}

static int files_delete(struct index *index, int which, const char *path, int64_t *ret_files)
{
        sqlite3_int64 id;
        int64_t n = 0;
        int r;

        r = index_batch_begin(index);
        if (r < 0)
                return r;
        index_bind_text(index, which, 1, path);
        while ((r = index_find_id(index, which, &id)) > 0) {
                r = documents_delete(index, id) ?: delete_id(index, SQL_FILE_DELETE, id);
                if (r < 0)
                        return r;
                n++;
        }
        *ret_files = n;
        return r;
}

int index_prune(struct index *index, const char *directory, int64_t *ret_files)
{
        return files_delete(index, SQL_FILES_UNMET, directory, ret_files);
}

int index_remove(struct index *index, const char *path, int64_t *ret_files)
{
        return files_delete(index, SQL_FILES_IN, path, ret_files);
}

static int statistics_get(struct index *index, struct index_statistics *ret)
{
        sqlite3_stmt *statement = index->sql[SQL_STATISTICS];
        int r;

        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                ret->documents = sqlite3_column_int64(statement, 0);
                ret->passages = sqlite3_column_int64(statement, 1);
        }
        sqlite3_reset(statement);
        return r == SQLITE_ROW ? 0 : index_failed(index);
}

/* A search looks into each segment of the full-text index. One that is mostly new becomes a single
 * segment; after smaller changes, so much is merged as they are worth. */
static int merge(struct index *index, const struct index_statistics *statistics)
{
        bool new = index->added >= statistics->passages / OPTIMIZE_SHARE;

        return index_run(index, new ? SQL_OPTIMIZE : SQL_MERGE);
}

int index_commit(struct index *index, struct index_statistics *ret)
{
        int r;

        r = index_batch_begin(index);
        if (r == 0 && index->changed)
                r = index_run(index, SQL_EMBEDDING_CHANGED);
        if (r == 0)
                r = index_batch_commit(index);
        if (r == 0)
                r = statistics_get(index, ret);
        if (r == 0 && index->changed)
                r = merge(index, ret);
        if (r < 0)
                return r;
        (void)sqlite3_busy_timeout(index->db, CHECKPOINT_TIMEOUT_MS);
        return index_exec(index, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passage.h"
#include "schema.h"

/* Long enough for a batch of another brickctl index to end. */
#define BUSY_TIMEOUT_MS 10000

/* How long the last checkpoint waits for readers. It empties the log; if it fails, the log only
 * stays larger. */
#define CHECKPOINT_TIMEOUT_MS 200

/* Bytes of documents after which a batch, one transaction, is committed. This bounds the
 * write-ahead log. */
#define BATCH_SIZE (16 << 20)

#define CACHE_KIB "-65536"

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
        SQL_DOCUMENT_FIND,
        SQL_DOCUMENTS_OF,
        SQL_DOCUMENT_ADD,
        SQL_DOCUMENT_END,
        SQL_DOCUMENT_DELETE,
        SQL_PASSAGE_ADD,
        SQL_PASSAGES_DELETE,
        SQL_MERGE,
        SQL_STATISTICS,
        N_SQL,
};

static const char *const sql_text[N_SQL] = {
        [SQL_BEGIN] = "BEGIN IMMEDIATE",
        [SQL_COMMIT] = "COMMIT",
        [SQL_FILE_GET] = "SELECT id, mtime, size FROM file WHERE path = ?1",
        [SQL_FILE_ADD] = "INSERT INTO file (path, mtime, size) VALUES (?1, -1, -1)",
        [SQL_FILE_END] = "UPDATE file SET mtime = ?2, size = ?3 WHERE id = ?1",
        [SQL_FILE_DELETE] = "DELETE FROM file WHERE id = ?1",
        /* '0' follows '/' in ASCII: selects all paths below a directory by the index on path. */
        [SQL_FILES_UNMET] = "SELECT id FROM file WHERE path > ?1 || '/' AND path < ?1 || '0'"
                            " AND id NOT IN (SELECT file FROM met) LIMIT 1",
        [SQL_FILES_IN] = "SELECT id FROM file WHERE path = ?1"
                         " OR (path > ?1 || '/' AND path < ?1 || '0') LIMIT 1",
        [SQL_MET] = "INSERT OR IGNORE INTO met (file) VALUES (?1)",
        [SQL_DOCUMENT_FIND] = "SELECT id FROM document WHERE key = ?1",
        [SQL_DOCUMENTS_OF] = "SELECT id FROM document WHERE file = ?1 LIMIT 1",
        [SQL_DOCUMENT_ADD] = "INSERT INTO document (key, file, title, metadata, passages)"
                             " VALUES (?1, ?2, ?3, ?4, 0)",
        [SQL_DOCUMENT_END] = "UPDATE document SET passages = ?2 WHERE id = ?1",
        [SQL_DOCUMENT_DELETE] = "DELETE FROM document WHERE id = ?1",
        [SQL_PASSAGE_ADD] = "INSERT INTO passage (rowid, title, body) VALUES (?1, ?2, ?3)",
        [SQL_PASSAGES_DELETE] = "DELETE FROM passage WHERE rowid BETWEEN ?1 AND ?2",
        [SQL_MERGE] = "INSERT INTO passage (passage, rank) VALUES ('merge', 500)",
        [SQL_STATISTICS] = "SELECT documents, passages FROM statistics",
};

static const char schema[] =
        "CREATE TABLE file ("
        "  id INTEGER PRIMARY KEY,"
        "  path TEXT NOT NULL UNIQUE,"
        "  mtime INTEGER NOT NULL," /* nanoseconds */
        "  size INTEGER NOT NULL"
        ") STRICT;"
        "CREATE TABLE document ("
        "  id INTEGER PRIMARY KEY,"
        "  key TEXT NOT NULL UNIQUE,"
        "  file INTEGER NOT NULL REFERENCES file (id),"
        "  title TEXT NOT NULL,"
        "  metadata TEXT NOT NULL," /* a JSON object */
        "  passages INTEGER NOT NULL"
        ") STRICT;"
        "CREATE INDEX document_file ON document (file);"
        /* one row, kept up to date by triggers, because counting takes long */
        "CREATE TABLE statistics (documents INTEGER NOT NULL, passages INTEGER NOT NULL) STRICT;"
        "INSERT INTO statistics VALUES (0, 0);"
        "CREATE TRIGGER document_added AFTER INSERT ON document BEGIN"
        "  UPDATE statistics SET documents = documents + 1, passages = passages + new.passages;"
        "END;"
        "CREATE TRIGGER document_changed AFTER UPDATE OF passages ON document BEGIN"
        "  UPDATE statistics SET passages = passages + new.passages - old.passages;"
        "END;"
        "CREATE TRIGGER document_deleted AFTER DELETE ON document BEGIN"
        "  UPDATE statistics SET documents = documents - 1, passages = passages - old.passages;"
        "END;"
        "CREATE VIRTUAL TABLE passage USING fts5 (title, body, tokenize = brick);";

struct index {
        char *path;
        sqlite3 *db;
        sqlite3_stmt *sql[N_SQL];
        struct index_file file; /* the file that is being read */
        sqlite3_int64 file_id;
        size_t batch; /* bytes in the open transaction */
        bool changed; /* the index has changed since it was opened */
        char error[512];
};

static int index_damaged(struct index *index, const char *why)
{
        (void)snprintf(index->error, sizeof index->error,
                       "%s is damaged (%s): remove it and run brickctl index again", index->path,
                       why);
        return -EIO;
}

static int index_failed(struct index *index)
{
        int code = sqlite3_errcode(index->db);

        if (code == SQLITE_CORRUPT || code == SQLITE_ERROR || code == SQLITE_TOOBIG)
                return index_damaged(index, sqlite3_errmsg(index->db));
        if (code == SQLITE_BUSY)
                (void)snprintf(index->error, sizeof index->error,
                               "%s: another brickctl index is writing to it", index->path);
        else if (code == SQLITE_NOTADB)
                (void)snprintf(index->error, sizeof index->error,
                               "%s: not an index; nothing was changed", index->path);
        else
                (void)snprintf(index->error, sizeof index->error, "%s: %s", index->path,
                               sqlite3_errmsg(index->db));
        switch (code) {
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
                return -EBUSY;
        default:
                return -EIO;
        }
}

const char *index_error(struct index *index)
{
        return index->error;
}

/* Runs a statement that returns no rows, with parameters bound. */
static int run(struct index *index, int which)
{
        int r;

        r = sqlite3_step(index->sql[which]);
        sqlite3_reset(index->sql[which]);
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

static int run_id(struct index *index, int which, sqlite3_int64 id)
{
        sqlite3_bind_int64(index->sql[which], 1, id);
        return run(index, which);
}

/* Deletes a row that was found through an index of the database. If the table does not have it, the
 * file is damaged. */
static int delete_id(struct index *index, int which, sqlite3_int64 id)
{
        int r;

        r = run_id(index, which, id);
        if (r == 0 && sqlite3_changes(index->db) == 0)
                return index_damaged(index, "a row is missing");
        return r;
}

/* Runs a statement that returns one id or none. 1: *ret is the id; 0: none. */
static int find_id(struct index *index, int which, sqlite3_int64 *ret)
{
        int r;

        r = sqlite3_step(index->sql[which]);
        *ret = r == SQLITE_ROW ? sqlite3_column_int64(index->sql[which], 0) : 0;
        sqlite3_reset(index->sql[which]);
        if (r == SQLITE_ROW)
                return 1;
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

static void bind_text(struct index *index, int which, int parameter, const char *text)
{
        sqlite3_bind_text(index->sql[which], parameter, text, -1, SQLITE_STATIC);
}

static int exec(struct index *index, const char *sql)
{
        if (sqlite3_exec(index->db, sql, NULL, NULL, NULL) != SQLITE_OK)
                return index_failed(index);
        return 0;
}

static int pragma_int(struct index *index, const char *sql, int *ret)
{
        sqlite3_stmt *statement;

        *ret = 0;
        if (sqlite3_prepare_v2(index->db, sql, -1, &statement, NULL) != SQLITE_OK)
                return index_failed(index);
        if (sqlite3_step(statement) == SQLITE_ROW)
                *ret = sqlite3_column_int(statement, 0);
        return sqlite3_finalize(statement) == SQLITE_OK ? 0 : index_failed(index);
}

/*
 * Creates the file if it does not exist. Root creates it for the owner of the directory, so that
 * brickd can read it; SQLite gives its other files the same owner.
 */
static int file_create(const char *path)
{
        char directory[PATH_MAX];
        struct stat st;
        int fd, r = 0;

        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
                return errno == EEXIST ? 0 : -errno;
        if (geteuid() == 0 && strlen(path) < sizeof directory) {
                strcpy(directory, path);
                if (stat(dirname(directory), &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0)
                        r = -errno;
        }
        close(fd);
        return r;
}

static int schema_create(struct index *index)
{
        char pragmas[128];
        int r;

        (void)snprintf(pragmas, sizeof pragmas,
                       "PRAGMA application_id = %d; PRAGMA user_version = %d;",
                       SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
        r = exec(index, "BEGIN IMMEDIATE");
        if (r == 0)
                r = exec(index, schema);
        if (r == 0)
                r = exec(index, pragmas);
        if (r == 0)
                r = exec(index, "COMMIT");
        return r;
}

static int schema_check(struct index *index)
{
        int id, version, tables, r;

        r = pragma_int(index, "SELECT count(*) FROM sqlite_schema", &tables);
        if (r != 0)
                return r;
        if (tables == 0)
                return schema_create(index);
        r = pragma_int(index, "PRAGMA application_id", &id);
        if (r == 0)
                r = pragma_int(index, "PRAGMA user_version", &version);
        if (r != 0)
                return r;
        if (id != SCHEMA_APPLICATION_ID) {
                (void)snprintf(index->error, sizeof index->error,
                               "%s: a database, but not an index; nothing was changed",
                               index->path);
                return -EINVAL;
        }
        if (version != SCHEMA_VERSION) {
                (void)snprintf(index->error, sizeof index->error,
                               "%s: has format %d, this program writes %d: remove it first",
                               index->path, version, SCHEMA_VERSION);
                return -EINVAL;
        }
        return 0;
}

/* Keeps the log and its shared memory when the last writer closes the index: readers may not be
 * allowed to create them. */
static int keep_log(struct index *index)
{
        int on = 1;

        if (sqlite3_file_control(index->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on) != SQLITE_OK)
                return index_failed(index);
        return 0;
}

static int index_prepare(struct index *index)
{
        int r;

        r = sqlite3_open_v2(index->path, &index->db, SQLITE_OPEN_READWRITE, NULL);
        if (!index->db)
                return -ENOMEM;
        if (r != SQLITE_OK || sqlite3_busy_timeout(index->db, BUSY_TIMEOUT_MS) != SQLITE_OK ||
            schema_distrust(index->db) != SQLITE_OK || schema_register(index->db) != SQLITE_OK)
                return index_failed(index);
        r = schema_check(index);
        if (r == 0)
                r = exec(index, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                                "PRAGMA cache_size = " CACHE_KIB "; PRAGMA secure_delete = OFF;"
                                "CREATE TEMP TABLE met (file INTEGER PRIMARY KEY)");
        if (r == 0)
                r = keep_log(index);
        for (size_t i = 0; r == 0 && i < N_SQL; i++)
                if (sqlite3_prepare_v3(index->db, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &index->sql[i], NULL) != SQLITE_OK)
                        r = index_failed(index);
        return r;
}

struct index *index_free(struct index *index)
{
        if (!index)
                return NULL;
        for (size_t i = 0; i < N_SQL; i++)
                sqlite3_finalize(index->sql[i]);
        sqlite3_close(index->db);
        free(index->path);
        free(index);
        return NULL;
}

int index_open(const char *path, struct index **ret, char **error)
{
        _cleanup_(index_freep) struct index *index = NULL;
        int r;

        *error = NULL;
        index = calloc(1, sizeof *index);
        if (!index)
                return -ENOMEM;
        index->path = strdup(path);
        if (!index->path)
                return -ENOMEM;
        r = file_create(path);
        if (r < 0)
                (void)snprintf(index->error, sizeof index->error, "%s: %s", path, strerror(-r));
        else
                r = index_prepare(index);
        if (r < 0) {
                *error = strdup(index->error);
                return r;
        }
        *ret = TAKE_PTR(index);
        return 0;
}

/* Starts a transaction unless one is open. */
static int batch_begin(struct index *index)
{
        return sqlite3_get_autocommit(index->db) ? run(index, SQL_BEGIN) : 0;
}

static int batch_commit(struct index *index)
{
        index->batch = 0;
        return sqlite3_get_autocommit(index->db) ? 0 : run(index, SQL_COMMIT);
}

static int document_delete(struct index *index, sqlite3_int64 id)
{
        sqlite3_bind_int64(index->sql[SQL_PASSAGES_DELETE], 1, SCHEMA_ROWID(id, 0));
        sqlite3_bind_int64(index->sql[SQL_PASSAGES_DELETE], 2,
                           SCHEMA_ROWID(id, SCHEMA_PASSAGES_MAX - 1));
        index->changed = true;
        return run(index, SQL_PASSAGES_DELETE) ?: delete_id(index, SQL_DOCUMENT_DELETE, id);
}

static int documents_delete(struct index *index, sqlite3_int64 file)
{
        sqlite3_int64 id;
        int r;

        sqlite3_bind_int64(index->sql[SQL_DOCUMENTS_OF], 1, file);
        while ((r = find_id(index, SQL_DOCUMENTS_OF, &id)) > 0) {
                r = document_delete(index, id);
                if (r < 0)
                        return r;
        }
        return r;
}

/* 1: the index has the file; *ret_same: the file has not changed since it was read. 0: it is new.
 */
static int file_find(struct index *index, const struct index_file *file, sqlite3_int64 *ret_id,
                     bool *ret_same)
{
        sqlite3_stmt *get = index->sql[SQL_FILE_GET];
        int r;

        bind_text(index, SQL_FILE_GET, 1, file->path);
        r = sqlite3_step(get);
        if (r == SQLITE_ROW) {
                *ret_id = sqlite3_column_int64(get, 0);
                *ret_same = sqlite3_column_int64(get, 1) == file->mtime &&
                            sqlite3_column_int64(get, 2) == file->size;
        }
        sqlite3_reset(get);
        if (r == SQLITE_ROW)
                return 1;
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

static int file_add(struct index *index, const char *path, sqlite3_int64 *ret)
{
        int r;

        bind_text(index, SQL_FILE_ADD, 1, path);
        r = run(index, SQL_FILE_ADD);
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
                return run_id(index, SQL_MET, index->file_id) ?: INDEX_E_UNCHANGED;
        r = batch_begin(index);
        if (r == 0)
                r = found ? documents_delete(index, index->file_id)
                          : file_add(index, file->path, &index->file_id);
        if (r == 0)
                r = run_id(index, SQL_MET, index->file_id);
        index->file = *file;
        return r;
}

static int passages_add(struct index *index, sqlite3_int64 id,
                        const struct index_document *document)
{
        const char *text = document->text, *passage;
        size_t left = document->n, n;
        int number = 0, r;

        for (; passage_next(&text, &left, &passage, &n); number++) {
                sqlite3_bind_int64(index->sql[SQL_PASSAGE_ADD], 1, SCHEMA_ROWID(id, number));
                bind_text(index, SQL_PASSAGE_ADD, 2, document->title);
                sqlite3_bind_text(index->sql[SQL_PASSAGE_ADD], 3, passage, (int)n, SQLITE_STATIC);
                r = run(index, SQL_PASSAGE_ADD);
                if (r < 0)
                        return r;
        }
        sqlite3_bind_int64(index->sql[SQL_DOCUMENT_END], 2, number);
        return run_id(index, SQL_DOCUMENT_END, id);
}

static int document_replace(struct index *index, const struct index_document *document,
                            sqlite3_int64 *ret)
{
        sqlite3_int64 old;
        int r;

        bind_text(index, SQL_DOCUMENT_FIND, 1, document->key);
        r = find_id(index, SQL_DOCUMENT_FIND, &old);
        if (r > 0)
                r = document_delete(index, old);
        if (r < 0)
                return r;
        bind_text(index, SQL_DOCUMENT_ADD, 1, document->key);
        sqlite3_bind_int64(index->sql[SQL_DOCUMENT_ADD], 2, index->file_id);
        bind_text(index, SQL_DOCUMENT_ADD, 3, document->title);
        bind_text(index, SQL_DOCUMENT_ADD, 4, document->metadata);
        r = run(index, SQL_DOCUMENT_ADD);
        *ret = sqlite3_last_insert_rowid(index->db);
        return r;
}

int index_add(struct index *index, const struct index_document *document)
{
        sqlite3_int64 id;
        int r;

        if (document->n / (PASSAGE_SIZE_MAX / 4) >= SCHEMA_PASSAGES_MAX)
                return INDEX_E_TOO_LONG;
        r = batch_begin(index);
        if (r == 0)
                r = document_replace(index, document, &id);
        if (r == 0)
                r = passages_add(index, id, document);
        if (r < 0)
                return r;
        index->changed = true;
        index->batch += document->n;
        return index->batch > BATCH_SIZE ? batch_commit(index) : 0;
}

int index_end(struct index *index)
{
        int r;

        r = batch_begin(index);
        if (r < 0)
                return r;
        sqlite3_bind_int64(index->sql[SQL_FILE_END], 2, index->file.mtime);
        sqlite3_bind_int64(index->sql[SQL_FILE_END], 3, index->file.size);
        return run_id(index, SQL_FILE_END, index->file_id);
}

static int files_delete(struct index *index, int which, const char *path, int64_t *ret_files)
{
        sqlite3_int64 id;
        int64_t n = 0;
        int r;

        r = batch_begin(index);
        if (r < 0)
                return r;
        bind_text(index, which, 1, path);
        while ((r = find_id(index, which, &id)) > 0) {
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

int index_commit(struct index *index, struct index_statistics *ret)
{
        int r;

        r = batch_commit(index);
        if (r == 0 && index->changed)
                r = run(index, SQL_MERGE);
        if (r == 0)
                r = statistics_get(index, ret);
        if (r < 0)
                return r;
        (void)sqlite3_busy_timeout(index->db, CHECKPOINT_TIMEOUT_MS);
        return exec(index, "PRAGMA wal_checkpoint(TRUNCATE)");
}

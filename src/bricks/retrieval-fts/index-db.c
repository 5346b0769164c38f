/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "index-own.h"
#include "lock.h"
#include "schema.h"

/* Long enough for a batch of another brickctl index to end. */
#define BUSY_TIMEOUT_MS 10000

#define CACHE_KIB "-65536"

static const char *const sql_text[N_SQL] = {
        [SQL_BEGIN] = "BEGIN IMMEDIATE",
        [SQL_COMMIT] = "COMMIT",
        [SQL_FILE_GET] = "SELECT id, mtime, size, groups FROM file WHERE path = ?1",
        [SQL_FILE_ADD] = "INSERT INTO file (path, mtime, size, groups) VALUES (?1, -1, -1, '')",
        [SQL_FILE_END] = "UPDATE file SET mtime = ?2, size = ?3, groups = ?4 WHERE id = ?1",
        [SQL_FILE_DELETE] = "DELETE FROM file WHERE id = ?1",
        /* '0' follows '/' in ASCII: selects all paths below a directory by the index on path. */
        [SQL_FILES_UNMET] = "SELECT id FROM file WHERE path > ?1 || '/' AND path < ?1 || '0'"
                            " AND id NOT IN (SELECT file FROM met) LIMIT 1",
        [SQL_FILES_IN] = "SELECT id FROM file WHERE path = ?1"
                         " OR (path > ?1 || '/' AND path < ?1 || '0') LIMIT 1",
        [SQL_MET] = "INSERT OR IGNORE INTO met (file) VALUES (?1)",
        [SQL_AUDIENCE_FIND] = "SELECT id FROM audience WHERE groups = ?1",
        /* the lowest number that is free */
        [SQL_AUDIENCE_ADD] =
                "INSERT INTO audience SELECT min(id) + 1, ?1, 0, 0, 0, 0 FROM audience AS a"
                " WHERE NOT EXISTS (SELECT 1 FROM audience AS b WHERE b.id = a.id + 1)",
        [SQL_AUDIENCES_CLEAN] = "DELETE FROM audience WHERE documents = 0 AND id > 0",
        [SQL_DOCUMENT_FIND] = "SELECT id FROM document WHERE key = ?1",
        [SQL_DOCUMENT_AUDIENCE] = "SELECT audience FROM document WHERE id = ?1",
        [SQL_DOCUMENTS_OF] = "SELECT id FROM document WHERE file = ?1 LIMIT 1",
        [SQL_DOCUMENT_ADD] = "INSERT INTO document (key, file, audience, title, metadata, passages,"
                             " title_words, body_words) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
        [SQL_DOCUMENT_END] = "UPDATE document SET passages = ?2, title_words = ?3, body_words = ?4"
                             " WHERE id = ?1",
        [SQL_DOCUMENT_DELETE] = "DELETE FROM document WHERE id = ?1",
        [SQL_PASSAGE_ADD] = "INSERT INTO passage (rowid, title, body) VALUES (?1, ?2, ?3)",
        [SQL_PASSAGES_DELETE] = "DELETE FROM passage WHERE rowid BETWEEN ?1 AND ?2",
        [SQL_MERGE] = "INSERT INTO passage (passage, rank) VALUES ('merge', 500)",
        [SQL_OPTIMIZE] = "INSERT INTO passage (passage) VALUES ('optimize')",
        [SQL_STATISTICS] = "SELECT sum(documents), sum(passages) FROM audience",
        [SQL_EMBEDDING_GET] = "SELECT model, prefix, input_type, dimension FROM embedding",
        [SQL_EMBEDDING_SET] =
                "INSERT OR REPLACE INTO embedding VALUES (1, ?1, ?2, ?3, ?4,"
                " coalesce((SELECT generation FROM embedding), random() & 0xffffffff) + 1)",
        [SQL_EMBEDDING_CHANGED] = "UPDATE embedding SET generation = generation + 1",
        [SQL_PASSAGES_BARE] =
                "SELECT rowid, title, body FROM passage WHERE rowid > ?1 AND NOT EXISTS"
                " (SELECT 1 FROM passage_vector WHERE passage = passage.rowid)"
                " ORDER BY rowid LIMIT ?2",
        [SQL_PASSAGES_COUNT_BARE] = "SELECT (SELECT coalesce(sum(passages), 0) FROM audience)"
                                    " - (SELECT count(*) FROM passage_vector)",
        [SQL_VECTOR_FIND] = "SELECT id FROM vector WHERE digest = ?1",
        [SQL_VECTOR_ADD] = "INSERT INTO vector (digest, bytes) VALUES (?1, ?2)",
        [SQL_VECTORS_CLEAN] = "DELETE FROM vector WHERE NOT EXISTS"
                              " (SELECT 1 FROM passage_vector WHERE vector = vector.id)",
        [SQL_VECTORS_CLEAR] = "DELETE FROM vector",
        [SQL_PASSAGE_VECTOR_ADD] = "INSERT OR REPLACE INTO passage_vector VALUES (?1, ?2)",
        [SQL_PASSAGE_VECTORS_DELETE] = "DELETE FROM passage_vector WHERE passage BETWEEN ?1 AND ?2",
        [SQL_PASSAGE_VECTORS_CLEAR] = "DELETE FROM passage_vector",
};

static const char schema[] =
        "CREATE TABLE file ("
        "  id INTEGER PRIMARY KEY,"
        "  path TEXT NOT NULL UNIQUE,"
        "  mtime INTEGER NOT NULL," /* nanoseconds */
        "  size INTEGER NOT NULL,"
        "  groups TEXT NOT NULL"
        ") STRICT;"
        /* the counts are kept up to date by triggers, because counting takes long */
        "CREATE TABLE audience ("
        "  id INTEGER PRIMARY KEY,"
        "  groups TEXT NOT NULL UNIQUE,"
        "  documents INTEGER NOT NULL,"
        "  passages INTEGER NOT NULL,"
        "  title_words INTEGER NOT NULL," /* of all passages */
        "  body_words INTEGER NOT NULL"
        ") STRICT;"
        "INSERT INTO audience VALUES (0, '', 0, 0, 0, 0);"
        "CREATE TABLE document ("
        "  id INTEGER PRIMARY KEY,"
        "  key TEXT NOT NULL UNIQUE,"
        "  file INTEGER NOT NULL REFERENCES file (id),"
        "  audience INTEGER NOT NULL REFERENCES audience (id),"
        "  title TEXT NOT NULL,"
        "  metadata TEXT NOT NULL," /* a JSON object */
        "  passages INTEGER NOT NULL,"
        "  title_words INTEGER NOT NULL,"
        "  body_words INTEGER NOT NULL"
        ") STRICT;"
        "CREATE INDEX document_file ON document (file);"
        "CREATE TRIGGER document_added AFTER INSERT ON document BEGIN"
        "  UPDATE audience SET documents = documents + 1 WHERE id = new.audience;"
        "END;"
        "CREATE TRIGGER document_ended AFTER UPDATE OF passages ON document BEGIN"
        "  UPDATE audience SET passages = passages + new.passages - old.passages,"
        "    title_words = title_words + new.title_words - old.title_words,"
        "    body_words = body_words + new.body_words - old.body_words WHERE id = new.audience;"
        "END;"
        "CREATE TRIGGER document_deleted AFTER DELETE ON document BEGIN"
        "  UPDATE audience SET documents = documents - 1, passages = passages - old.passages,"
        "    title_words = title_words - old.title_words,"
        "    body_words = body_words - old.body_words WHERE id = old.audience;"
        "END;"
        "CREATE TABLE tokenizer (version TEXT NOT NULL) STRICT;"
        "CREATE VIRTUAL TABLE passage USING"
        "  fts5 (title, body, tokenize = brick, columnsize = 0);"
        /* one row, once there are vectors: what makes them. A search reads the vectors again when
         * the generation is another one */
        "CREATE TABLE embedding ("
        "  id INTEGER PRIMARY KEY,"
        "  model TEXT NOT NULL,"
        "  prefix TEXT NOT NULL,"
        "  input_type TEXT NOT NULL,"
        "  dimension INTEGER NOT NULL,"
        "  generation INTEGER NOT NULL"
        ") STRICT;"
        /* by the digest of their texts, so that the same text is not asked for twice */
        "CREATE TABLE vector ("
        "  id INTEGER PRIMARY KEY,"
        "  digest BLOB NOT NULL UNIQUE,"
        "  bytes BLOB NOT NULL" /* vector.h's */
        ") STRICT;"
        "CREATE TABLE passage_vector ("
        "  passage INTEGER PRIMARY KEY,"
        "  vector INTEGER NOT NULL REFERENCES vector (id)"
        ") STRICT;"
        "CREATE INDEX passage_vector_vector ON passage_vector (vector);"
        /* merges two segments of the index already, so that a search looks into few */
        "INSERT INTO passage (passage, rank) VALUES ('usermerge', 2);";

int index_damaged(struct index *index, const char *why)
{
        (void)snprintf(index->error, sizeof index->error,
                       "%s is damaged (%s): remove it and run brickctl index again", index->path,
                       why);
        return -EIO;
}

int index_failed(struct index *index)
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

int index_run(struct index *index, int which)
{
        int r;

        r = sqlite3_step(index->sql[which]);
        sqlite3_reset(index->sql[which]);
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

int index_run_id(struct index *index, int which, sqlite3_int64 id)
{
        sqlite3_bind_int64(index->sql[which], 1, id);
        return index_run(index, which);
}

int index_find_id(struct index *index, int which, sqlite3_int64 *ret)
{
        int r;

        r = sqlite3_step(index->sql[which]);
        *ret = r == SQLITE_ROW ? sqlite3_column_int64(index->sql[which], 0) : 0;
        sqlite3_reset(index->sql[which]);
        if (r == SQLITE_ROW)
                return 1;
        return r == SQLITE_DONE ? 0 : index_failed(index);
}

void index_bind_text(struct index *index, int which, int parameter, const char *text)
{
        sqlite3_bind_text(index->sql[which], parameter, text, -1, SQLITE_STATIC);
}

int index_batch_begin(struct index *index)
{
        return sqlite3_get_autocommit(index->db) ? index_run(index, SQL_BEGIN) : 0;
}

int index_batch_commit(struct index *index)
{
        index->batch = 0;
        return sqlite3_get_autocommit(index->db) ? 0 : index_run(index, SQL_COMMIT);
}

int index_exec(struct index *index, const char *sql)
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
        r = index_exec(index, "BEGIN IMMEDIATE");
        if (r == 0)
                r = index_exec(index, schema);
        if (r == 0)
                r = index_exec(index, pragmas);
        if (r == 0 && schema_tokenizer_write(index->db) != SQLITE_OK)
                r = index_failed(index);
        if (r == 0)
                r = index_exec(index, "COMMIT");
        return r;
}

static int tokenizer_check(struct index *index)
{
        char theirs[TOKENIZER_VERSION_SIZE], ours[TOKENIZER_VERSION_SIZE];
        bool same;

        if (schema_tokenizer_check(index->db, &same, theirs) != SQLITE_OK)
                return index_failed(index);
        if (same)
                return 0;
        tokenizer_version(ours);
        (void)snprintf(index->error, sizeof index->error,
                       "%s: was made with tokenizer %s, this program has %s: remove it and run "
                       "brickctl index again",
                       index->path, theirs, ours);
        return -EINVAL;
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
                               "%s: has format %d, this program writes %d: remove it and "
                               "run brickctl index again",
                               index->path, version, SCHEMA_VERSION);
                return -EINVAL;
        }
        return tokenizer_check(index);
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
                r = index_exec(index,
                               "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
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

void index_db_close(struct index *index)
{
        for (size_t i = 0; i < N_SQL; i++)
                sqlite3_finalize(index->sql[i]);
        sqlite3_close(index->db);
        if (index->lock >= 0)
                close(index->lock);
}

/* Creates the file if it does not exist, and waits for other writers. */
static int file_lock(struct index *index, void (*waiting)(const char *path))
{
        int r;

        do {
                r = file_create(index->path);
                if (r == 0)
                        r = index->lock = lock_take(index->path, waiting);
        } while (r == -ESTALE); /* the file was removed meanwhile */
        if (r >= 0)
                return 0;
        if (r == -EBUSY)
                (void)snprintf(index->error, sizeof index->error,
                               "%s: another brickctl index has been writing to it for %d s",
                               index->path, LOCK_WAIT_S);
        else
                (void)snprintf(index->error, sizeof index->error, "%s: %s", index->path,
                               strerror(-r));
        return r;
}

int index_db_open(struct index *index, void (*waiting)(const char *path))
{
        int r;

        r = file_lock(index, waiting);
        return r < 0 ? r : index_prepare(index);
}

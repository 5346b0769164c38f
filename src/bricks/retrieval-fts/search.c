/* SPDX-License-Identifier: MIT */
#include "search.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "query.h"
#include "schema.h"
#include "unicode.h"
#include "version.h"

/* Steps of SQLite's virtual machine between two calls of cancelled(): about 0.1 ms. */
#define STEPS_PER_CHECK 1000

/* Candidates to keep for each result, because copies of a passage in other documents are skipped.
 */
#define CANDIDATES_PER_RESULT 3

/* In WAL mode, readers wait only while the file is recovered after a crash. */
#define BUSY_TIMEOUT_MS 2000

enum {
        STATEMENT_MATCH,
        STATEMENT_PASSAGE,
        STATEMENT_DOCUMENT,
        STATEMENT_STATISTICS,
        N_STATEMENTS,
};

static const char *const statement_sql[N_STATEMENTS] = {
        [STATEMENT_MATCH] = "SELECT rowid, score(passage, ?2) FROM passage"
                            " WHERE passage MATCH ?1 ORDER BY rowid",
        [STATEMENT_PASSAGE] = "SELECT excerpt(passage, ?2, ?3), body FROM passage"
                              " WHERE passage MATCH ?1 AND rowid = ?4",
        [STATEMENT_DOCUMENT] = "SELECT key, title, metadata, passages FROM document WHERE id = ?1",
        [STATEMENT_STATISTICS] = "SELECT documents, passages FROM statistics",
};

/* One connection, used by one thread at a time. */
struct reader {
        struct reader *next;
        sqlite3 *db;
        sqlite3_stmt *statements[N_STATEMENTS];
        struct version version; /* of the file, when the search began */
        bool damaged;           /* the search has found that the file is damaged */
};

struct searcher {
        char *path;
        char *log; /* the path of the write-ahead log */
        pthread_mutex_t lock;
        struct reader *idle;    /* protected by the lock, like the next two */
        struct version damaged; /* the last version that was damaged */
        struct search_error
                *damage; /* the error of a search in it; NULL: there was no such version */
};

struct candidate {
        sqlite3_int64 rowid;
        double score;
};

/* A running search. */
struct search {
        struct reader *reader;
        const struct search_query *query;
        const char *expression;
        struct statistics statistics;
        uint64_t *shown; /* digests of the passages that were passed to hit() */
        int n_shown;
};

/* The best candidates so far, best first; at most one per document. */
struct ranking {
        size_t n;
        size_t max;
        struct candidate items[];
};

__attribute__((format(printf, 2, 3))) static int unavailable(struct search_error *error,
                                                             const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
        return SEARCH_E_UNAVAILABLE;
}

static int missing(const char *path, struct search_error *error)
{
        return unavailable(error, "%s is not there: build it with brickctl index --db %s DIR", path,
                           path);
}

/* SQLite's message for a result code. */
static const char *reason(struct reader *reader, int code)
{
        return sqlite3_errcode(reader->db) == (code & 0xff) ? sqlite3_errmsg(reader->db)
                                                            : sqlite3_errstr(code);
}

/* Makes an error from a result code of SQLite. */
static int failed(struct reader *reader, const char *path, int code, struct search_error *error)
{
        switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_ERROR: /* a table or a column has another definition */
        case SQLITE_FORMAT:
        case SQLITE_MISMATCH:
        case SQLITE_TOOBIG:
                reader->damaged = true;
                return unavailable(error,
                                   "%s is damaged (%s): remove it and run brickctl index again",
                                   path, reason(reader, code));
        case SQLITE_INTERRUPT:
                (void)snprintf(error->text, sizeof error->text, "cancelled");
                return SEARCH_E_CANCELLED;
        case SQLITE_NOMEM: /* FTS5 does not check the lengths that it reads */
                return unavailable(error,
                                   "%s cannot be searched for lack of memory; if there is enough, "
                                   "it is damaged: remove it and run brickctl index again",
                                   path);
        case SQLITE_NOTADB:
                return unavailable(error, "%s is not an index of brickctl index", path);
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_READONLY:
                return unavailable(error,
                                   "%s cannot be read: it, %s-wal and %s-shm must be readable, or "
                                   "their directory writable",
                                   path, path, path);
        default:
                return unavailable(error, "%s: %s", path, reason(reader, code));
        }
}

static struct reader *reader_free(struct reader *reader)
{
        for (size_t i = 0; i < N_STATEMENTS; i++)
                sqlite3_finalize(reader->statements[i]);
        sqlite3_close(reader->db);
        free(reader);
        return NULL;
}

DEFINE_CLEANUP(struct reader *, reader_free);

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

static int reader_check(struct reader *reader, const char *path, struct search_error *error)
{
        int id = 0, version = 0, r;

        r = pragma_int(reader->db, "PRAGMA application_id", &id);
        if (r == SQLITE_OK)
                r = pragma_int(reader->db, "PRAGMA user_version", &version);
        if (r != SQLITE_OK)
                return failed(reader, path, r, error);
        if (id != SCHEMA_APPLICATION_ID)
                return unavailable(error, "%s is not an index of brickctl index", path);
        if (version != SCHEMA_VERSION)
                return unavailable(error,
                                   "%s has format %d, this brick reads %d: remove it and run "
                                   "brickctl index again",
                                   path, version, SCHEMA_VERSION);
        return 0;
}

static int reader_open(const char *path, struct reader **ret, struct search_error *error)
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
                return failed(reader, path, r, error);
        r = reader_check(reader, path, error);
        if (r != 0)
                return r;
        for (size_t i = 0; i < N_STATEMENTS; i++) {
                r = sqlite3_prepare_v3(reader->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &reader->statements[i], NULL);
                if (r != SQLITE_OK)
                        return failed(reader, path, r, error);
        }
        *ret = TAKE_PTR(reader);
        return 0;
}

static struct reader *searcher_pop(struct searcher *s)
{
        struct reader *reader;

        pthread_mutex_lock(&s->lock);
        reader = s->idle;
        if (reader)
                s->idle = reader->next;
        pthread_mutex_unlock(&s->lock);
        return reader;
}

static void searcher_push(struct searcher *s, struct reader *reader)
{
        pthread_mutex_lock(&s->lock);
        reader->next = s->idle;
        s->idle = reader;
        pthread_mutex_unlock(&s->lock);
}

static bool is_damaged(struct searcher *s, const struct version *version,
                       struct search_error *error)
{
        bool damaged;

        pthread_mutex_lock(&s->lock);
        damaged = s->damage && version_same_content(&s->damaged, version);
        if (damaged)
                *error = *s->damage;
        pthread_mutex_unlock(&s->lock);
        return damaged;
}

/* Out of memory, it notes nothing, and the next search finds the damage again. */
static void note_damage(struct searcher *s, const struct version *version,
                        const struct search_error *error)
{
        pthread_mutex_lock(&s->lock);
        s->damaged = *version;
        if (!s->damage)
                s->damage = malloc(sizeof *s->damage);
        if (s->damage)
                *s->damage = *error;
        pthread_mutex_unlock(&s->lock);
}

/* Takes a connection to the file that has the path now; the path may have a new file. */
static int searcher_acquire(struct searcher *s, struct reader **ret, struct search_error *error)
{
        struct version version;
        struct reader *reader;
        int r;

        r = version_get(s->path, s->log, &version);
        if (r == -ENOENT)
                return missing(s->path, error);
        if (r == -EINVAL)
                return unavailable(error, "%s is not a regular file", s->path);
        if (r < 0)
                return unavailable(error, "%s: %s", s->path, strerror(-r));
        if (is_damaged(s, &version, error))
                return SEARCH_E_UNAVAILABLE;
        while ((reader = searcher_pop(s)) && !version_same_file(&reader->version, &version))
                reader_free(reader);
        if (!reader) {
                r = reader_open(s->path, &reader, error);
                if (r != 0)
                        return r;
        }
        reader->version = version;
        *ret = reader;
        return 0;
}

struct searcher *searcher_free(struct searcher *s)
{
        struct reader *reader;

        if (!s)
                return NULL;
        while ((reader = searcher_pop(s)))
                reader_free(reader);
        pthread_mutex_destroy(&s->lock);
        free(s->damage);
        free(s->log);
        free(s->path);
        free(s);
        return NULL;
}

int searcher_new(const char *path, struct searcher **ret)
{
        struct searcher *s;

        s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        pthread_mutex_init(&s->lock, NULL);
        s->path = strdup(path);
        if (!s->path || asprintf(&s->log, "%s-wal", path) < 0) {
                s->log = NULL;
                searcher_free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

static void ranking_insert(struct ranking *ranking, const struct candidate *candidate)
{
        size_t at = ranking->n;

        while (at > 0 && ranking->items[at - 1].score < candidate->score)
                at--;
        if (at == ranking->max)
                return;
        if (ranking->n < ranking->max)
                ranking->n++;
        memmove(ranking->items + at + 1, ranking->items + at,
                (ranking->n - at - 1) * sizeof *ranking->items);
        ranking->items[at] = *candidate;
}

/* Ranks the best passage of each document. The rows are in the order of rowid, so passages of one
 * document are adjacent; candidates with equal scores keep this order. */
static int rank(struct search *search, struct ranking *ranking)
{
        sqlite3_stmt *match = search->reader->statements[STATEMENT_MATCH];
        struct candidate best = { .rowid = -1 }, row;
        int r;

        sqlite3_bind_pointer(match, 2, &search->statistics, STATISTICS_TYPE, NULL);
        r = sqlite3_bind_text(match, 1, search->expression, -1, SQLITE_STATIC);
        while (r == SQLITE_OK && (r = sqlite3_step(match)) == SQLITE_ROW) {
                row.rowid = sqlite3_column_int64(match, 0);
                row.score = sqlite3_column_double(match, 1);
                r = SQLITE_OK;
                if (row.score <= 0)
                        continue;
                if (best.rowid >= 0 && SCHEMA_DOCUMENT(row.rowid) == SCHEMA_DOCUMENT(best.rowid)) {
                        if (row.score > best.score)
                                best = row;
                        continue;
                }
                if (best.rowid >= 0)
                        ranking_insert(ranking, &best);
                best = row;
        }
        if (best.rowid >= 0)
                ranking_insert(ranking, &best);
        sqlite3_reset(match);
        return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* FNV-1a */
static uint64_t digest(const char *text)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (const char *p = text; *p; p++)
                hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
        return hash;
}

/* False: an equal passage has been shown. */
static bool is_new(struct search *search, const char *body)
{
        uint64_t hash = digest(body);

        for (int i = 0; i < search->n_shown; i++)
                if (search->shown[i] == hash)
                        return false;
        search->shown[search->n_shown++] = hash;
        return true;
}

/* Binds an id and returns the result of the first step: SQLITE_ROW if there is a row. */
static int row_by_id(sqlite3_stmt *statement, int parameter, sqlite3_int64 id)
{
        int r;

        r = sqlite3_bind_int64(statement, parameter, id);
        return r == SQLITE_OK ? sqlite3_step(statement) : r;
}

/* The text of a column. False: it is not valid UTF-8 without NUL, so the file is damaged. */
static bool column_text(sqlite3_stmt *statement, int i, const char **ret)
{
        const char *s = (const char *)sqlite3_column_text(statement, i);
        size_t n = (size_t)sqlite3_column_bytes(statement, i);

        if (!s || memchr(s, '\0', n) || !unicode_valid(s, n))
                return false;
        *ret = s;
        return true;
}

static bool hit_read(sqlite3_stmt *document, sqlite3_stmt *passage,
                     const struct candidate *candidate, struct search_hit *hit)
{
        hit->score = candidate->score;
        hit->passage = SCHEMA_NUMBER(candidate->rowid) + 1;
        hit->passages = sqlite3_column_int(document, 3);
        return column_text(document, 0, &hit->id) && column_text(document, 1, &hit->title) &&
               column_text(document, 2, &hit->metadata) && column_text(passage, 0, &hit->snippet) &&
               hit->passage <= hit->passages;
}

/* Returns 0, an SQLite result code, or the negative errno of hit(). */
static int show_passage(struct search *search, const struct candidate *candidate,
                        sqlite3_stmt *passage)
{
        sqlite3_stmt *document = search->reader->statements[STATEMENT_DOCUMENT];
        struct search_hit hit;
        int r;

        r = row_by_id(document, 1, SCHEMA_DOCUMENT(candidate->rowid));
        if (r == SQLITE_ROW)
                r = hit_read(document, passage, candidate, &hit)
                            ? search->query->hit(search->query->user, &hit)
                            : SQLITE_CORRUPT;
        else if (r == SQLITE_DONE)
                r = SQLITE_CORRUPT;
        sqlite3_reset(document);
        return r == -EBADMSG ? SQLITE_CORRUPT : r;
}

/* Returns the same as show_passage(). */
static int show(struct search *search, const struct candidate *candidate)
{
        sqlite3_stmt *passage = search->reader->statements[STATEMENT_PASSAGE];
        const char *body;
        int r;

        sqlite3_bind_text(passage, 1, search->expression, -1, SQLITE_STATIC);
        sqlite3_bind_pointer(passage, 2, &search->statistics, STATISTICS_TYPE, NULL);
        sqlite3_bind_int(passage, 3, search->query->snippet_words);
        r = row_by_id(passage, 4, candidate->rowid);
        if (r == SQLITE_DONE || (r == SQLITE_ROW && !column_text(passage, 1, &body)))
                r = SQLITE_CORRUPT;
        else if (r == SQLITE_ROW)
                r = is_new(search, body) ? show_passage(search, candidate, passage) : SQLITE_OK;
        sqlite3_reset(passage);
        return r;
}

static int progress(void *user)
{
        const struct search_query *query = user;

        return query->cancelled && query->cancelled(query->user);
}

/* Returns an SQLite result code, or the negative errno of hit(). */
static int search_run(struct search *search)
{
        size_t max = (size_t)search->query->max_results * CANDIDATES_PER_RESULT;
        _cleanup_free_ struct ranking *ranking = NULL;
        _cleanup_free_ uint64_t *shown = NULL;
        int r;

        ranking = calloc(1, sizeof *ranking + max * sizeof *ranking->items);
        shown = calloc(search->query->max_results, sizeof *shown);
        if (!ranking || !shown)
                return -ENOMEM;
        ranking->max = max;
        search->shown = shown;
        r = rank(search, ranking);
        for (size_t i = 0; r == SQLITE_OK && i < ranking->n; i++) {
                if (search->n_shown == search->query->max_results)
                        break;
                r = show(search, &ranking->items[i]);
        }
        return r;
}

/* Runs a search in one read transaction, so that ranking and showing see the same data. */
static int reader_search(struct reader *reader, const char *path, const struct search_query *query,
                         const char *expression, struct search_error *error)
{
        struct search search = { .reader = reader, .query = query, .expression = expression };
        int r;

        sqlite3_progress_handler(reader->db, STEPS_PER_CHECK, progress, (void *)query);
        r = sqlite3_exec(reader->db, "BEGIN", NULL, NULL, NULL);
        if (r == SQLITE_OK)
                r = search_run(&search);
        if (r > 0)
                r = failed(reader, path, r, error);
        sqlite3_progress_handler(reader->db, 0, NULL, NULL);
        if (!sqlite3_get_autocommit(reader->db))
                (void)sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
        return r;
}

/* Gives a connection back. After a failure it is closed instead. */
static void searcher_release(struct searcher *s, struct reader *reader, int r,
                             const struct search_error *error)
{
        if (reader->damaged)
                note_damage(s, &reader->version, error);
        if (r == 0 || r == SEARCH_E_CANCELLED)
                searcher_push(s, reader);
        else
                reader_free(reader);
}

int searcher_search(struct searcher *s, const struct search_query *query,
                    struct search_error *error)
{
        _cleanup_free_ char *expression = NULL;
        struct reader *reader;
        int r;

        (void)snprintf(error->text, sizeof error->text, "out of memory");
        r = searcher_acquire(s, &reader, error);
        if (r != 0)
                return r;
        r = query_build(query->text, query->n, &expression);
        if (r == 0)
                r = reader_search(reader, s->path, query, expression, error);
        else if (r == QUERY_E_EMPTY)
                r = 0;
        searcher_release(s, reader, r, error);
        return r;
}

int searcher_statistics(struct searcher *s, struct search_statistics *ret,
                        struct search_error *error)
{
        struct reader *reader;
        sqlite3_stmt *statement;
        int r;

        (void)snprintf(error->text, sizeof error->text, "out of memory");
        r = searcher_acquire(s, &reader, error);
        if (r != 0)
                return r;
        statement = reader->statements[STATEMENT_STATISTICS];
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                ret->documents = sqlite3_column_int64(statement, 0);
                ret->passages = sqlite3_column_int64(statement, 1);
                r = ret->documents >= 0 && ret->passages >= 0 ? SQLITE_OK : SQLITE_CORRUPT;
        } else if (r == SQLITE_DONE)
                r = SQLITE_CORRUPT;
        if (r != SQLITE_OK)
                r = failed(reader, s->path, r, error);
        sqlite3_reset(statement);
        searcher_release(s, reader, r, error);
        return r;
}

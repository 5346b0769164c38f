/* SPDX-License-Identifier: MIT */
#include "search.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "audience.h"
#include "query.h"
#include "reader.h"

struct searcher {
        char *path;
        char *log; /* the path of the write-ahead log */
        pthread_mutex_t lock;
        struct reader *idle;    /* protected by the lock, like the next two */
        struct version damaged; /* the last version that was damaged */
        struct search_error
                *damage; /* the error of a search in it; NULL: there was no such version */
};

static int missing(const char *path, struct search_error *error)
{
        return reader_unavailable(
                error, "%s is not there: build it with brickctl index --db %s DIR", path, path);
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
                return reader_unavailable(error, "%s is not a regular file", s->path);
        if (r < 0)
                return reader_unavailable(error, "%s: %s", s->path, strerror(-r));
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

        /* With statistics of memory, each allocation takes a lock that all threads share. This does
         * nothing if something else in the process uses SQLite already. */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
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
        r = query_build(query->text, query->n, reader->db, &expression);
        if (r == 0)
                r = reader_search(reader, s->path, query, expression, error);
        else if (r == QUERY_E_EMPTY)
                r = 0;
        searcher_release(s, reader, r, error);
        return r;
}

int searcher_statistics(struct searcher *s, const struct search_who *who,
                        struct search_statistics *ret, struct search_error *error)
{
        struct reader *reader;
        struct statistics statistics = {};
        int r;

        (void)snprintf(error->text, sizeof error->text, "out of memory");
        r = searcher_acquire(s, &reader, error);
        if (r != 0)
                return r;
        r = audience_read(reader, who, &statistics, ret);
        if (r != SQLITE_OK)
                r = reader_failed(reader, s->path, r, error);
        searcher_release(s, reader, r, error);
        return r;
}

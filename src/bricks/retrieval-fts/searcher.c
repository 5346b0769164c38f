/* SPDX-License-Identifier: MIT */
#include "search.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "audience.h"
#include "query.h"
#include "reader.h"
#include "vectors.h"

struct searcher {
        char *path;
        char *log; /* the path of the write-ahead log */
        pthread_mutex_t lock;
        struct reader *idle;     /* protected by the lock, like the next two */
        struct version damaged;  /* the last version that was damaged */
        struct vectors *vectors; /* NULL: not read yet */
        pthread_mutex_t reading; /* held by the thread that reads them */
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
        (void)vectors_unref(s->vectors);
        pthread_mutex_destroy(&s->reading);
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
        pthread_mutex_init(&s->reading, NULL);
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

static struct vectors *vectors_current(struct searcher *s)
{
        struct vectors *vectors;

        pthread_mutex_lock(&s->lock);
        vectors = vectors_ref(s->vectors);
        pthread_mutex_unlock(&s->lock);
        return vectors;
}

static bool is_of(const struct vectors *vectors, const struct vectors_info *info)
{
        return vectors && vectors_info(vectors)->dimension == info->dimension &&
               strcmp(vectors_info(vectors)->model, info->model) == 0;
}

static bool is_newest(const struct vectors *vectors, const struct vectors_info *info)
{
        return is_of(vectors, info) && vectors_info(vectors)->generation == info->generation;
}

/* The thread holds s->reading. Returns an SQLite result code. */
static int vectors_renew(struct searcher *s, struct reader *reader, const struct vectors_info *info,
                         struct vectors **ret)
{
        struct vectors *vectors = vectors_current(s), *old = vectors;
        int r;

        if (is_newest(vectors, info)) { /* another thread has just read them */
                *ret = vectors;
                return SQLITE_OK;
        }
        r = vectors_read(reader->statements[STATEMENT_VECTORS], info, &vectors);
        (void)vectors_unref(old);
        if (r != SQLITE_OK)
                return r;
        *ret = vectors_ref(vectors);
        pthread_mutex_lock(&s->lock);
        old = s->vectors;
        s->vectors = vectors;
        pthread_mutex_unlock(&s->lock);
        (void)vectors_unref(old);
        return SQLITE_OK;
}

/* While one thread reads the vectors again, the others go on with the old ones. Returns an SQLite
 * result code. */
static int vectors_get(struct searcher *s, struct reader *reader, const struct vectors_info *info,
                       struct vectors **ret)
{
        struct vectors *vectors = vectors_current(s);
        int r;

        if (is_newest(vectors, info) ||
            (is_of(vectors, info) && pthread_mutex_trylock(&s->reading) != 0)) {
                *ret = vectors;
                return SQLITE_OK;
        }
        if (!is_of(vectors, info))
                pthread_mutex_lock(&s->reading);
        (void)vectors_unref(vectors);
        r = vectors_renew(s, reader, info, ret);
        pthread_mutex_unlock(&s->reading);
        return r;
}

/* Finds out what the query means, if that can be told. Returns an SQLite result code. */
static int meaning_get(struct searcher *s, struct reader *reader, const struct search_query *query,
                       struct vectors **ret_vectors, float **ret_query)
{
        _cleanup_free_ float *vector = NULL;
        struct vectors_info info;
        int r;

        if (!query->embed)
                return SQLITE_OK;
        r = vectors_info_read(reader->statements[STATEMENT_EMBEDDING], &info);
        if (r != SQLITE_OK || info.dimension == 0)
                return r;
        vector = calloc(info.dimension, sizeof *vector);
        if (!vector)
                return SQLITE_NOMEM;
        if (query->embed(query->user, info.model, info.dimension, vector) < 0)
                return SQLITE_OK;
        r = vectors_get(s, reader, &info, ret_vectors);
        if (r == SQLITE_OK)
                *ret_query = TAKE_PTR(vector);
        return r;
}

static void vectors_unrefp(struct vectors **vectors)
{
        (void)vectors_unref(*vectors);
}

static int search(struct searcher *s, struct reader *reader, const struct search_query *query,
                  struct search_error *error)
{
        _cleanup_(vectors_unrefp) struct vectors *vectors = NULL;
        _cleanup_free_ char *expression = NULL;
        _cleanup_free_ float *vector = NULL;
        struct search_meaning meaning;
        int r;

        r = query_build(query->text, query->n, reader->vocabulary, &expression);
        if (r < 0)
                return r;
        r = meaning_get(s, reader, query, &vectors, &vector);
        if (r != SQLITE_OK)
                return reader_failed(reader, s->path, r, error);
        if (!expression && !vectors)
                return 0;
        meaning = (struct search_meaning){ vectors, vector };
        return reader_search(reader, s->path, query, expression, vectors ? &meaning : NULL, error);
}

int searcher_search(struct searcher *s, const struct search_query *query,
                    struct search_error *error)
{
        struct reader *reader;
        int r;

        (void)snprintf(error->text, sizeof error->text, "out of memory");
        r = searcher_acquire(s, &reader, error);
        if (r != 0)
                return r;
        r = search(s, reader, query, error);
        searcher_release(s, reader, r, error);
        return r;
}

int searcher_statistics(struct searcher *s, const struct search_who *who,
                        struct search_statistics *ret, struct search_error *error)
{
        struct reader *reader;
        struct statistics statistics = {};
        struct vectors_info info;
        int r;

        (void)snprintf(error->text, sizeof error->text, "out of memory");
        r = searcher_acquire(s, &reader, error);
        if (r != 0)
                return r;
        r = audience_read(reader, who, &statistics, ret);
        if (r == SQLITE_OK)
                r = vectors_info_read(reader->statements[STATEMENT_EMBEDDING], &info);
        if (r == SQLITE_OK && info.dimension > 0)
                strcpy(ret->model, info.model);
        if (r != SQLITE_OK)
                r = reader_failed(reader, s->path, r, error);
        searcher_release(s, reader, r, error);
        return r;
}

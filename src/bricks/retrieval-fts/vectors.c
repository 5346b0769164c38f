/* SPDX-License-Identifier: MIT */
#include "vectors.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"
#include "vector.h"

/* Passages that are compared between two questions whether to go on: less than a millisecond. */
#define PASSAGES_PER_CHECK 16384

struct vectors {
        atomic_uint refs;
        struct vectors_info info;
        size_t n;
        size_t allocated;
        int64_t *rowids;
        float *scales;
        int8_t *components; /* n times dimension */
};

int vectors_info_read(sqlite3_stmt *statement, struct vectors_info *ret)
{
        const char *model;
        int64_t dimension = 0;
        int r;

        *ret = (struct vectors_info){};
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                model = (const char *)sqlite3_column_text(statement, 0);
                dimension = sqlite3_column_int64(statement, 1);
                ret->generation = sqlite3_column_int64(statement, 2);
                if (!model || strlen(model) >= sizeof ret->model || dimension < 0 ||
                    dimension > VECTOR_DIMENSION_MAX)
                        r = SQLITE_CORRUPT;
                else
                        strcpy(ret->model, model);
        }
        sqlite3_reset(statement);
        if (r != SQLITE_ROW)
                return r == SQLITE_DONE ? SQLITE_OK : r;
        ret->dimension = (size_t)dimension;
        return SQLITE_OK;
}

static struct vectors *vectors_free(struct vectors *v)
{
        free(v->rowids);
        free(v->scales);
        free(v->components);
        free(v);
        return NULL;
}

DEFINE_CLEANUP(struct vectors *, vectors_free);

static int grow(struct vectors *v)
{
        size_t n = v->allocated ? v->allocated + v->allocated / 2 : 1024;
        int64_t *rowids = reallocarray(v->rowids, n, sizeof *rowids);
        float *scales = reallocarray(v->scales, n, sizeof *scales);
        int8_t *components = reallocarray(v->components, n, v->info.dimension);

        v->rowids = rowids ?: v->rowids;
        v->scales = scales ?: v->scales;
        v->components = components ?: v->components;
        if (!rowids || !scales || !components)
                return SQLITE_NOMEM;
        v->allocated = n;
        return SQLITE_OK;
}

static int add(struct vectors *v, sqlite3_stmt *row)
{
        const void *bytes = sqlite3_column_blob(row, 1);
        int size = sqlite3_column_bytes(row, 1), r;

        if (!bytes || (size_t)size != VECTOR_SIZE(v->info.dimension))
                return SQLITE_CORRUPT;
        if (v->n == v->allocated) {
                r = grow(v);
                if (r != SQLITE_OK)
                        return r;
        }
        v->rowids[v->n] = sqlite3_column_int64(row, 0);
        if (!vector_unpack(bytes, v->info.dimension, &v->scales[v->n],
                           v->components + v->n * v->info.dimension))
                return SQLITE_CORRUPT;
        v->n++;
        return SQLITE_OK;
}

int vectors_read(sqlite3_stmt *statement, const struct vectors_info *info, struct vectors **ret)
{
        _cleanup_(vectors_freep) struct vectors *v = calloc(1, sizeof *v);
        int r = SQLITE_OK, step = SQLITE_DONE;

        if (!v)
                return SQLITE_NOMEM;
        atomic_init(&v->refs, 1);
        v->info = *info;
        while (r == SQLITE_OK && (step = sqlite3_step(statement)) == SQLITE_ROW)
                r = add(v, statement);
        sqlite3_reset(statement);
        if (r == SQLITE_OK && step != SQLITE_DONE)
                r = step;
        if (r == SQLITE_OK)
                *ret = TAKE_PTR(v);
        return r;
}

const struct vectors_info *vectors_info(const struct vectors *vectors)
{
        return &vectors->info;
}

struct vectors *vectors_ref(struct vectors *vectors)
{
        if (vectors)
                atomic_fetch_add_explicit(&vectors->refs, 1, memory_order_relaxed);
        return vectors;
}

struct vectors *vectors_unref(struct vectors *vectors)
{
        if (vectors && atomic_fetch_sub_explicit(&vectors->refs, 1, memory_order_acq_rel) == 1)
                (void)vectors_free(vectors);
        return NULL;
}

int vectors_rank(const struct vectors *v, const float *query, const struct statistics *statistics,
                 bool (*cancelled)(void *user), void *user, struct ranking *ranking)
{
        uint8_t packed[VECTOR_SIZE(VECTOR_DIMENSION_MAX)];
        int8_t components[VECTOR_DIMENSION_MAX];
        struct candidate row = {};
        float scale;

        if (!vector_pack(query, v->info.dimension, packed) ||
            !vector_unpack(packed, v->info.dimension, &scale, components))
                return SQLITE_OK; /* near to nothing */
        for (size_t i = 0; i < v->n; i++) {
                if (i % PASSAGES_PER_CHECK == 0 && cancelled && cancelled(user))
                        return SQLITE_INTERRUPT;
                if (!statistics_is_visible(statistics, v->rowids[i]))
                        continue;
                row.rowid = v->rowids[i];
                row.score = (double)vector_dot(components, v->components + i * v->info.dimension,
                                               v->info.dimension) *
                            v->scales[i];
                row.weight = 1;
                if (!ranking_add(ranking, &row))
                        return SQLITE_NOMEM;
        }
        ranking_end(ranking);
        return SQLITE_OK;
}

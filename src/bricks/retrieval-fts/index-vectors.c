/* SPDX-License-Identifier: MIT */
#include "index-vectors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "index-own.h"
#include "vector.h"

#define DIGEST_SIZE 16

/* FNV-1a of 128 bits. */
static void digest(const char *text, uint8_t ret[static DIGEST_SIZE])
{
        unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
        unsigned __int128 hash = (unsigned __int128)UINT64_C(0x6c62272e07bb0142) << 64 |
                                 UINT64_C(0x62b821756295c58d);

        for (const char *p = text; *p; p++)
                hash = (hash ^ (unsigned char)*p) * prime;
        for (int i = 0; i < DIGEST_SIZE; i++, hash >>= 8)
                ret[i] = (uint8_t)hash;
}

static bool column_is(sqlite3_stmt *row, int i, const char *expected)
{
        const char *s = (const char *)sqlite3_column_text(row, i);

        return s && strcmp(s, expected) == 0;
}

int index_embedding_is(struct index *index, const struct index_embedding *embedding)
{
        sqlite3_stmt *row = index->sql[SQL_EMBEDDING_GET];
        bool same = false;
        int r;

        index->dimension = 0;
        r = sqlite3_step(row);
        if (r == SQLITE_ROW) {
                same = column_is(row, 0, embedding->model) &&
                       column_is(row, 1, embedding->prefix) &&
                       column_is(row, 2, embedding->input_type);
                index->dimension = sqlite3_column_int64(row, 3);
        }
        sqlite3_reset(row);
        return r == SQLITE_ROW || r == SQLITE_DONE ? same : index_failed(index);
}

static int embedding_set(struct index *index, int64_t dimension)
{
        index_bind_text(index, SQL_EMBEDDING_SET, 1, index->embedding.model);
        index_bind_text(index, SQL_EMBEDDING_SET, 2, index->embedding.prefix);
        index_bind_text(index, SQL_EMBEDDING_SET, 3, index->embedding.input_type);
        sqlite3_bind_int64(index->sql[SQL_EMBEDDING_SET], 4, dimension);
        index->dimension = dimension;
        return index_run(index, SQL_EMBEDDING_SET);
}

int index_embedding_begin(struct index *index, const struct index_embedding *embedding)
{
        int r;

        index->embedding = *embedding;
        r = index_batch_begin(index) ?: index_embedding_is(index, embedding);
        if (r != 0)
                return r < 0 ? r : 0;
        return index_run(index, SQL_PASSAGE_VECTORS_CLEAR) ?: index_run(index, SQL_VECTORS_CLEAR)
                                                           ?: embedding_set(index, 0);
}

int index_bare_count(struct index *index, int64_t *ret)
{
        sqlite3_int64 n;
        int r;

        r = index_find_id(index, SQL_PASSAGES_COUNT_BARE, &n);
        *ret = n > 0 ? n : 0;
        return r < 0 ? r : 0;
}

/* 1: the text has a vector, which the passage has now; 0: it has none. */
static int vector_reuse(struct index *index, const struct index_bare *bare)
{
        uint8_t bytes[DIGEST_SIZE];
        sqlite3_int64 vector;
        int r;

        digest(bare->text, bytes);
        sqlite3_bind_blob(index->sql[SQL_VECTOR_FIND], 1, bytes, sizeof bytes, SQLITE_TRANSIENT);
        r = index_find_id(index, SQL_VECTOR_FIND, &vector);
        if (r <= 0)
                return r;
        sqlite3_bind_int64(index->sql[SQL_PASSAGE_VECTOR_ADD], 1, bare->rowid);
        sqlite3_bind_int64(index->sql[SQL_PASSAGE_VECTOR_ADD], 2, vector);
        return index_run(index, SQL_PASSAGE_VECTOR_ADD) ?: 1;
}

static int bare_read(struct index *index, sqlite3_stmt *row, struct index_bare *ret)
{
        const char *title = (const char *)sqlite3_column_text(row, 1);
        const char *body = (const char *)sqlite3_column_text(row, 2);

        ret->rowid = sqlite3_column_int64(row, 0);
        if (!title || !body)
                return index_damaged(index, "a passage has no text");
        if (asprintf(&ret->text, "%s%s%s", title, title[0] ? "\n" : "", body) < 0) {
                ret->text = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* The passages, before it is known which of them have the text of another one. */
static int page_read(struct index *index, int64_t after, size_t max, struct index_bare *ret,
                     size_t *ret_n)
{
        sqlite3_stmt *row = index->sql[SQL_PASSAGES_BARE];
        int r = 0, step;

        sqlite3_bind_int64(row, 1, after);
        sqlite3_bind_int64(row, 2, (sqlite3_int64)max);
        while (r == 0 && (step = sqlite3_step(row)) != SQLITE_DONE) {
                r = step == SQLITE_ROW ? bare_read(index, row, &ret[*ret_n]) : index_failed(index);
                *ret_n += r == 0;
        }
        sqlite3_reset(row);
        return r;
}

int index_bare_next(struct index *index, int64_t after, size_t max, struct index_bare *ret,
                    size_t *ret_n, size_t *ret_known, int64_t *ret_last)
{
        size_t read = 0, kept = 0;
        int r;

        r = index_batch_begin(index) ?: page_read(index, after, max, ret, &read);
        *ret_last = read > 0 ? ret[read - 1].rowid : after;
        for (size_t i = 0; i < read; i++) {
                int known = r < 0 ? r : vector_reuse(index, &ret[i]);

                if (known == 0) {
                        ret[kept++] = ret[i];
                        continue;
                }
                free(ret[i].text);
                r = known < 0 ? known : r;
        }
        *ret_n = kept;
        *ret_known = read - kept;
        return r;
}

int index_vector_add(struct index *index, const struct index_bare *bare, const float *vector,
                     size_t dimension)
{
        uint8_t bytes[VECTOR_SIZE(VECTOR_DIMENSION_MAX)], digest_bytes[DIGEST_SIZE];
        sqlite3_stmt *add = index->sql[SQL_VECTOR_ADD];
        int r;

        r = index_batch_begin(index);
        if (r == 0 && index->dimension == 0)
                r = embedding_set(index, (int64_t)dimension);
        if (r < 0)
                return r;
        if (index->dimension != (int64_t)dimension || dimension > VECTOR_DIMENSION_MAX ||
            !vector_pack(vector, dimension, bytes))
                return -EINVAL;
        r = vector_reuse(index, bare); /* another passage of the batch may have the same text */
        if (r != 0)
                return r < 0 ? r : 0;
        digest(bare->text, digest_bytes);
        sqlite3_bind_blob(add, 1, digest_bytes, DIGEST_SIZE, SQLITE_TRANSIENT);
        sqlite3_bind_blob(add, 2, bytes, (int)VECTOR_SIZE(dimension), SQLITE_TRANSIENT);
        r = index_run(index, SQL_VECTOR_ADD);
        if (r < 0)
                return r;
        sqlite3_bind_int64(index->sql[SQL_PASSAGE_VECTOR_ADD], 1, bare->rowid);
        sqlite3_bind_int64(index->sql[SQL_PASSAGE_VECTOR_ADD], 2,
                           sqlite3_last_insert_rowid(index->db));
        return index_run(index, SQL_PASSAGE_VECTOR_ADD);
}

int index_vectors_commit(struct index *index)
{
        return index_batch_commit(index);
}

int index_embedding_end(struct index *index)
{
        return index_batch_begin(index) ?: index_run(index, SQL_VECTORS_CLEAN)
                       ?: index_run(index, SQL_EMBEDDING_CHANGED) ?: index_batch_commit(index);
}

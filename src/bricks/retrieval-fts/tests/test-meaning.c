/* SPDX-License-Identifier: MIT */

/* Searches by meaning in several threads, while documents and their vectors change. */

#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "index-vectors.h"
#include "index.h"
#include "remove-index.h"
#include "search.h"

#define DIMENSION 16
#define DOCUMENTS 40
#define GENERATIONS 8
#define PAGE 16

static char directory[] = "/tmp/retrieval-XXXXXX";
static char path[64];
static atomic_bool writing = true;

/* A direction for each number. */
static void vector_of(int number, float ret[static DIMENSION])
{
        for (int i = 0; i < DIMENSION; i++)
                ret[i] = (float)((number * 31 + i * 17) % 23) - 11;
}

static void add_vectors(struct index *index)
{
        static const struct index_embedding embedding = { "model", "", "" };
        struct index_bare bare[PAGE];
        float vector[DIMENSION];
        int64_t at = INT64_MIN;
        size_t n, known;

        assert(index_embedding_begin(index, &embedding) == 0);
        do {
                assert(index_bare_next(index, at, PAGE, bare, &n, &known, &at) == 0);
                for (size_t i = 0; i < n; i++) {
                        vector_of(atoi(strrchr(bare[i].text, ' ')), vector);
                        assert(index_vector_add(index, &bare[i], vector, DIMENSION) == 0);
                        free(bare[i].text);
                }
                assert(index_vectors_commit(index) == 0);
        } while (n + known == PAGE);
        assert(index_embedding_end(index) == 0);
}

static void write_generation(int generation)
{
        struct index_statistics statistics;
        struct index *index;
        char *error, key[16], text[64];

        assert(index_open(path, NULL, &index, &error) == 0);
        for (int i = 0; i < DOCUMENTS; i++) {
                struct index_file file = { .path = key, .mtime = generation, .groups = "" };

                (void)snprintf(key, sizeof key, "d%d", i);
                (void)snprintf(text, sizeof text, "generation number %d", i);
                assert(index_begin(index, &file) == 0);
                assert(index_add(index, &(struct index_document){ .key = key,
                                                                  .title = "",
                                                                  .metadata = "{}",
                                                                  .text = text,
                                                                  .n = strlen(text) }) == 0);
                assert(index_end(index) == 0);
        }
        assert(index_commit(index, &statistics) == 0);
        add_vectors(index);
        (void)index_free(index);
}

struct found {
        int number; /* whose vector is the query's */
        int n;
        char first[16];
};

static int embed(void *user, const char *model, size_t dimension, float *ret)
{
        struct found *found = user;

        assert(strcmp(model, "model") == 0 && dimension == DIMENSION);
        vector_of(found->number, ret);
        return 0;
}

static int hit(void *user, const struct search_hit *hit)
{
        struct found *found = user;

        if (found->n++ == 0)
                (void)snprintf(found->first, sizeof found->first, "%s", hit->id);
        return 0;
}

static void search(struct searcher *s, const char *text, struct found *found)
{
        struct search_query query = {
                .text = text,
                .n = strlen(text),
                .max_results = 5,
                .snippet_words = 8,
                .embed = embed,
                .hit = hit,
                .user = found,
        };
        struct search_error error;
        int r;

        r = searcher_search(s, &query, &error);
        if (r != 0)
                fprintf(stderr, "%s\n", error.text);
        assert(r == 0);
}

static void *search_all_the_time(void *user)
{
        for (int i = 0; atomic_load(&writing); i++) {
                struct found found = { .number = i % DOCUMENTS };

                search(user, i % 2 ? "generation" : "?", &found);
                assert(found.n <= 5 && (i % 2 == 0 || found.n == 5));
        }
        return NULL;
}

/* The nearest document is first, also where the query has no words. */
static void check_nearest(struct searcher *s)
{
        char expected[16];

        for (int i = 0; i < DIMENSION; i++) {
                struct found found = { .number = i };

                search(s, "?", &found);
                (void)snprintf(expected, sizeof expected, "d%d", i);
                assert(found.n == 5 && strcmp(found.first, expected) == 0);
        }
}

int main(void)
{
        _cleanup_(searcher_freep) struct searcher *s = NULL;
        pthread_t threads[4];

        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/index.db", directory);
        assert(searcher_new(path, &s) == 0);
        write_generation(1);
        check_nearest(s);
        for (size_t i = 0; i < 4; i++)
                assert(pthread_create(&threads[i], NULL, search_all_the_time, s) == 0);
        for (int generation = 2; generation <= GENERATIONS; generation++)
                write_generation(generation);
        atomic_store(&writing, false);
        for (size_t i = 0; i < 4; i++)
                (void)pthread_join(threads[i], NULL);
        check_nearest(s);
        remove_index(path);
        return rmdir(directory);
}

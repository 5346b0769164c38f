/* SPDX-License-Identifier: MIT */
#include "embed-index.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "embed.h"
#include "index-vectors.h"

/* Texts of a request: enough to keep a server busy, few enough for one on a small processor. */
#define BATCH 32

#define ATTEMPTS 6
#define WAIT_MS 500

#define BAR_WIDTH 30

struct run {
        struct embed_index *e;
        struct embed *embed;
        struct index_bare bare[BATCH];
        size_t n;
        int64_t total;
        struct timespec started;
};

static double seconds_since(const struct timespec *start)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void clear(const struct run *run)
{
        if (run->e->progress)
                fputs("\r\033[K", stderr);
}

static void show(const struct run *run)
{
        const struct embed_index *e = run->e;
        int64_t done = e->n_asked + e->n_known + e->n_failed;
        double rate = (double)e->n_asked / (seconds_since(&run->started) + 1e-3);
        int full = run->total > 0 ? (int)(done * BAR_WIDTH / run->total) : BAR_WIDTH;

        if (!e->progress)
                return;
        full = full < BAR_WIDTH ? full : BAR_WIDTH;
        clear(run);
        fprintf(stderr, "vectors [%.*s%*s] %lld of %lld passages, %.0f/s", full,
                "##############################", BAR_WIDTH - full, "", (long long)done,
                (long long)run->total, rate);
        if (rate > 0)
                fprintf(stderr, ", %.0f s left", (double)(run->total - done) / rate);
        (void)fflush(stderr);
}

static void say(const struct run *run, const char *what)
{
        clear(run);
        fprintf(stderr, "brickctl index: embeddings: %s\n", what);
}

static void wait_ms(long ms)
{
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

        (void)nanosleep(&t, NULL);
}

/* Asks for the vectors of some of the batch, several times if the server is busy. */
static int ask(struct run *run, size_t first, size_t n, size_t *dimension, float **ret,
               char error[static EMBED_ERROR_SIZE])
{
        const char *texts[BATCH];
        struct embed_request request = { .model = run->e->model, .texts = texts, .n = n };
        long asked_ms, ms = WAIT_MS;
        int r = -EAGAIN;

        for (size_t i = 0; i < n; i++)
                texts[i] = run->bare[first + i].text;
        for (int attempt = 0; attempt < ATTEMPTS; attempt++, ms *= 2) {
                r = embed_run(run->embed, &request, dimension, ret, &asked_ms, error);
                if (r != -EAGAIN || attempt + 1 == ATTEMPTS)
                        return r;
                say(run, error);
                wait_ms(asked_ms > 0 ? asked_ms : ms);
        }
        return r;
}

static int add(struct run *run, size_t first, size_t n, size_t dimension, const float *vectors)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = index_vector_add(run->e->index, &run->bare[first + i], vectors + i * dimension,
                                     dimension);
        if (r == -EINVAL) {
                say(run, "the server has sent a vector without a direction, or of another length "
                         "than before");
                return -EIO;
        }
        run->e->n_asked += r == 0 ? (int64_t)n : 0;
        return r;
}

/* 1: the server refuses these texts; error says why. */
static int embed_part(struct run *run, size_t first, size_t n, char error[static EMBED_ERROR_SIZE])
{
        _cleanup_free_ float *vectors = NULL;
        size_t dimension = 0;
        int r;

        r = ask(run, first, n, &dimension, &vectors, error);
        if (r == -EAGAIN) {
                say(run, error);
                return -EIO;
        }
        if (r == -EBADMSG)
                return 1;
        return r < 0 ? r : add(run, first, n, dimension, vectors);
}

/* One by one, so that a text that the server does not take leaves the others theirs. */
static int embed_each(struct run *run)
{
        char error[EMBED_ERROR_SIZE];
        size_t failed = 0;
        int r;

        for (size_t i = 0; i < run->n; i++) {
                r = embed_part(run, i, 1, error);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                say(run, error);
                if (i == failed++ && failed == (run->n < 3 ? run->n : 3))
                        return -EIO; /* not one of the first: it takes none */
        }
        run->e->n_failed += (int64_t)failed;
        return 0;
}

static int embed_batch(struct run *run)
{
        char error[EMBED_ERROR_SIZE];
        int r;

        if (run->n == 0)
                return 0;
        r = embed_part(run, 0, run->n, error);
        return r == 1 ? embed_each(run) : r;
}

static int embed_all(struct run *run)
{
        struct embed_index *e = run->e;
        int64_t at = INT64_MIN;
        size_t known;
        int r;

        do {
                show(run);
                r = index_bare_next(e->index, at, BATCH, run->bare, &run->n, &known, &at);
                if (r == 0)
                        r = embed_batch(run);
                e->n_known += (int64_t)known;
                for (size_t i = 0; i < run->n; i++)
                        free(run->bare[i].text);
                if (r == 0)
                        r = index_vectors_commit(e->index);
        } while (r == 0 && run->n + known == BATCH);
        clear(run);
        return r;
}

/* Before vectors that were made in another way are deleted: the server must give new ones. */
static int probe(struct run *run)
{
        _cleanup_free_ float *vectors = NULL;
        char error[EMBED_ERROR_SIZE], text[] = "a";
        size_t dimension = 0;
        int r;

        run->bare[0].text = text;
        r = ask(run, 0, 1, &dimension, &vectors, error);
        if (r != -EAGAIN && r != -EBADMSG)
                return r;
        say(run, error);
        return -EIO;
}

static int begin(struct run *run)
{
        struct embed_index *e = run->e;
        struct index_embedding embedding = { e->model, e->settings->prefix,
                                             e->settings->input_type };
        int r;

        r = index_embedding_is(e->index, &embedding);
        if (r == 0)
                r = probe(run);
        if (r < 0)
                return r;
        return index_embedding_begin(e->index, &embedding)
                       ?: index_bare_count(e->index, &run->total);
}

int embed_index(struct embed_index *e)
{
        _cleanup_(embed_freep) struct embed *embed = NULL;
        struct run run = { .e = e };
        int r, ended;

        if (embed_init() < 0)
                return -ENOMEM;
        run.embed = embed = embed_new(e->settings);
        if (!embed)
                return -ENOMEM;
        (void)clock_gettime(CLOCK_MONOTONIC, &run.started);
        r = begin(&run);
        if (r < 0)
                return r;
        r = embed_all(&run);
        if (r < 0 && r != -EIO)
                return r;
        ended = index_embedding_end(e->index); /* what there is so far counts */
        return ended < 0 ? ended : r;
}

/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/unfinished.h"

/* A power of two. */
#define SIZE_MIN 8

/* How many reset streams are remembered: as many as a connection may have at a time by default. A
 * power of two. */
#define RESET_MAX 1024

static _Atomic uint64_t total;

static uint64_t weight_of(const struct unfinished_request *request)
{
        return request->bytes + (request->first ? UNFINISHED_CALL : sizeof *request);
}

/* Streams that clients open have odd numbers. */
static uint32_t home_of(const struct unfinished *u, uint32_t stream)
{
        return (stream >> 1) & (u->size - 1);
}

/* The place of a stream; or the free place that it would get. */
static uint32_t place_of(const struct unfinished *u, uint32_t stream)
{
        uint32_t i = home_of(u, stream);

        while (u->table[i].stream != 0 && u->table[i].stream != stream)
                i = (i + 1) & (u->size - 1);
        return i;
}

static void add(struct unfinished *u, const struct unfinished_request *request)
{
        u->n++;
        u->bytes += request->bytes;
        u->weight += weight_of(request);
        (void)atomic_fetch_add_explicit(&total, weight_of(request), memory_order_relaxed);
}

static void subtract(struct unfinished *u, const struct unfinished_request *request)
{
        u->n--;
        u->bytes -= request->bytes;
        u->weight -= weight_of(request);
        (void)atomic_fetch_sub_explicit(&total, weight_of(request), memory_order_relaxed);
}

/* Makes room for one more: at least half of the table stays free. False: out of memory. */
static bool grow(struct unfinished *u)
{
        struct unfinished_request *old = u->table, *table;
        uint32_t old_size = u->size, size = old_size > 0 ? old_size * 2 : SIZE_MIN;

        if ((u->n + 1) * 2 <= old_size)
                return true;
        table = calloc(size, sizeof *table);
        if (!table)
                return false;
        u->table = table;
        u->size = size;
        for (uint32_t i = 0; i < old_size; i++)
                if (old[i].stream != 0)
                        table[place_of(u, old[i].stream)] = old[i];
        free(old);
        return true;
}

/* Frees a place. The requests behind it move up, so that each is still found from its home. */
static void empty_place(struct unfinished *u, uint32_t hole)
{
        const uint32_t mask = u->size - 1;

        for (uint32_t i = (hole + 1) & mask; u->table[i].stream != 0; i = (i + 1) & mask) {
                uint32_t home = home_of(u, u->table[i].stream);

                if (((i - home) & mask) >= ((i - hole) & mask)) {
                        u->table[hole] = u->table[i];
                        hole = i;
                }
        }
        u->table[hole].stream = 0;
}

static uint32_t *reset_place(const struct unfinished *u, uint32_t stream)
{
        return &u->reset[(stream >> 1) & (RESET_MAX - 1)];
}

static bool is_reset(const struct unfinished *u, uint32_t stream)
{
        return u->reset && *reset_place(u, stream) == stream;
}

bool unfinished_put(struct unfinished *u, const struct unfinished_request *request)
{
        bool done, reset;

        (void)pthread_mutex_lock(&u->lock);
        reset = is_reset(u, request->stream); /* the core has reset it since it was taken */
        done = reset || grow(u);
        if (done && !reset) {
                u->table[place_of(u, request->stream)] = *request;
                add(u, request);
        }
        (void)pthread_mutex_unlock(&u->lock);
        return done;
}

/* Lock held. */
static bool take(struct unfinished *u, uint32_t stream, struct unfinished_request *ret)
{
        uint32_t i;

        if (u->n == 0)
                return false;
        i = place_of(u, stream);
        if (u->table[i].stream == 0)
                return false;
        *ret = u->table[i];
        subtract(u, ret);
        empty_place(u, i);
        return true;
}

bool unfinished_take(struct unfinished *u, uint32_t stream, struct unfinished_request *ret)
{
        bool found;

        if (unfinished_is_empty(u))
                return false;
        (void)pthread_mutex_lock(&u->lock);
        found = take(u, stream, ret);
        (void)pthread_mutex_unlock(&u->lock);
        return found;
}

void unfinished_forget(struct unfinished *u, uint32_t stream)
{
        struct unfinished_request request;

        (void)pthread_mutex_lock(&u->lock);
        (void)take(u, stream, &request);
        if (!u->reset)
                u->reset = calloc(RESET_MAX, sizeof *u->reset);
        if (u->reset)
                *reset_place(u, stream) = stream;
        (void)pthread_mutex_unlock(&u->lock);
}

bool unfinished_is_reset(struct unfinished *u, uint32_t stream)
{
        bool reset;

        if (!atomic_load_explicit(&u->reset, memory_order_relaxed))
                return false;
        (void)pthread_mutex_lock(&u->lock);
        reset = is_reset(u, stream);
        (void)pthread_mutex_unlock(&u->lock);
        return reset;
}

void unfinished_clear(struct unfinished *u)
{
        (void)pthread_mutex_lock(&u->lock);
        (void)atomic_fetch_sub_explicit(&total, u->weight, memory_order_relaxed);
        free(u->table);
        free(u->reset);
        u->table = NULL;
        u->reset = NULL;
        u->n = u->size = 0;
        u->bytes = u->weight = 0;
        (void)pthread_mutex_unlock(&u->lock);
}

uint64_t unfinished_oldest(struct unfinished *u)
{
        uint64_t oldest = UINT64_MAX;

        (void)pthread_mutex_lock(&u->lock);
        for (uint32_t i = 0; i < u->size; i++)
                if (u->table[i].stream != 0 && u->table[i].begun < oldest)
                        oldest = u->table[i].begun;
        (void)pthread_mutex_unlock(&u->lock);
        return oldest;
}

uint64_t unfinished_weight(struct unfinished *u)
{
        uint64_t weight;

        (void)pthread_mutex_lock(&u->lock);
        weight = u->weight;
        (void)pthread_mutex_unlock(&u->lock);
        return weight;
}

uint64_t unfinished_total(void)
{
        return atomic_load_explicit(&total, memory_order_relaxed);
}

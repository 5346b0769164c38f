/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The unfinished requests of a connection: messages that have begun and not ended, which the core
 * holds and has not announced. frames.c stores each here when bytes of another stream come. When
 * the core resets a stream, its request is removed, and what the client still sends of it is
 * skipped.
 *
 * All zeros: empty. One thread puts and takes; any thread may do the rest.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that the core needs for a call that it cannot announce yet, besides the message, as
 * measured. */
#define UNFINISHED_CALL (12 * 1024)

struct unfinished_request {
        uint32_t stream;  /* 0: none */
        uint8_t n_prefix; /* bytes of the message's prefix that have come */
        bool first;       /* of its stream: the core cannot announce the call without it */
        uint32_t left;    /* bytes of the message still to come, once the prefix has come */
        uint64_t bytes;   /* of the message that have come */
        uint64_t begun;   /* CLOCK_MONOTONIC ns: when its first byte came; UINT64_MAX: it has no
                             time limit */
};

struct unfinished {
        pthread_mutex_t lock;
        struct unfinished_request *table; /* by stream, open addressing; NULL: empty */
        uint32_t size;
        uint64_t weight;

        /* Written under the lock; the thread that puts and takes reads them without. */
        _Atomic uint32_t n;
        _Atomic uint64_t bytes;    /* of messages */
        _Atomic(uint32_t *) reset; /* streams that the core has reset lately; NULL: none */
};

/* Only on the thread that puts and takes. */
static inline bool unfinished_is_empty(const struct unfinished *unfinished)
{
        return atomic_load_explicit(&unfinished->n, memory_order_relaxed) == 0;
}

/* Stores a request; its stream must have none. False: out of memory. */
bool unfinished_put(struct unfinished *unfinished, const struct unfinished_request *request);

/* Removes the request of a stream, and gives it to the caller. False: there is none. */
bool unfinished_take(struct unfinished *unfinished, uint32_t stream,
                     struct unfinished_request *ret);

/* The core has reset the stream. [any] */
void unfinished_forget(struct unfinished *unfinished, uint32_t stream);

/* Whether the core has reset the stream. It remembers about the last thousand. */
bool unfinished_is_reset(struct unfinished *unfinished, uint32_t stream);

void unfinished_clear(struct unfinished *unfinished);

/* When the oldest message with a time limit began; UINT64_MAX: there is none. */
uint64_t unfinished_oldest(struct unfinished *unfinished);

/* Bytes of memory that the core holds for these requests, about. */
uint64_t unfinished_weight(struct unfinished *unfinished);

/* The same for all connections of the process. */
uint64_t unfinished_total(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The requests of a connection that have begun and have not ended: those that gRPC core holds and
 * nobody else knows of yet. frames.c puts each here when it turns to another stream. When the core
 * resets a stream, its request is forgotten, and so is what the client still sends of it.
 *
 * All zeros is empty. One thread puts and takes; any may do the rest.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the core needs for a call that it cannot announce yet, besides its bytes; as measured. */
#define UNFINISHED_CALL (12 * 1024)

struct unfinished_request {
        uint32_t stream;  /* 0: none */
        uint8_t n_prefix; /* bytes of the message's prefix that have come */
        bool first;       /* of its stream: the core holds the call for it */
        uint32_t left;    /* bytes of the message that are to come, once the prefix has */
        uint64_t bytes;   /* that have come of the message */
        uint64_t begun;   /* CLOCK_MONOTONIC ns: when its first byte came; UINT64_MAX: it has no
                             time limit */
};

struct unfinished {
        pthread_mutex_t lock;
        struct unfinished_request *table; /* by stream, open addressing; NULL: empty */
        uint32_t size;
        uint64_t weight;

        /* Changed with the lock held; the thread that puts and takes looks without. */
        _Atomic uint32_t n;
        _Atomic uint64_t bytes;    /* of messages */
        _Atomic(uint32_t *) reset; /* streams that the core has reset lately; NULL: none */
};

/* For the thread that puts. */
static inline bool unfinished_is_empty(const struct unfinished *unfinished)
{
        return atomic_load_explicit(&unfinished->n, memory_order_relaxed) == 0;
}

/* The stream must have none there. False: memory is out. */
bool unfinished_put(struct unfinished *unfinished, const struct unfinished_request *request);

/* Takes the request of a stream out. False: there is none. */
bool unfinished_take(struct unfinished *unfinished, uint32_t stream,
                     struct unfinished_request *ret);

/* The core has reset the stream. [any] */
void unfinished_forget(struct unfinished *unfinished, uint32_t stream);

/* The core has reset it, and not so many since that this one is not known any more. */
bool unfinished_is_reset(struct unfinished *unfinished, uint32_t stream);

void unfinished_clear(struct unfinished *unfinished);

/* When the oldest message began; UINT64_MAX: none has. */
uint64_t unfinished_oldest(struct unfinished *unfinished);

uint64_t unfinished_weight(struct unfinished *unfinished);

/* The weight of all connections of the process. */
uint64_t unfinished_total(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Replies of calls with one reply, where they are large: how much of them waits for each connection
 * to be read. The brick is done with such a call, so nothing waits for the client but this memory;
 * whoever does not read gets no more of it. Large messages of streams count as well.
 *
 * The same account is kept of large requests that bricks have: a brick may take long, and its
 * clients may have many connections.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unread {
        pthread_mutex_t lock;
        void *connections;         /* of tsearch() */
        size_t bytes;              /* of all of them */
        atomic_uint n_connections; /* for the quick answer that there are none */
};

/* False: nothing waits. [any] */
static inline bool unread_any(const struct unread *unread)
{
        return atomic_load_explicit(&unread->n_connections, memory_order_relaxed) > 0;
}

void unread_init(struct unread *unread);
void unread_done(struct unread *unread);

/* A reply of so many bytes waits. False: out of memory, it does not count. connection: a number
 * that no other open one has. [any] */
bool unread_add(struct unread *unread, uintptr_t connection, size_t size);

/* It has been read, at this time of clock_now(), or has been dropped: 0. [any] */
void unread_remove(struct unread *unread, uintptr_t connection, size_t size, uint64_t read);

/* Whether the connection has so much to read, by its port's limit for one reply, that it may make
 * no more calls for now. [any] */
bool unread_is_too_much(struct unread *unread, uintptr_t connection, size_t limit, uint64_t now);

/* Whether so many bytes more would leave the connection within its limit, and all connections
 * within theirs. One of any size fits where there is nothing. [any] */
bool unread_has_room(struct unread *unread, uintptr_t connection, size_t size, size_t limit,
                     size_t total_limit);

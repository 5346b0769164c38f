/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Counts the bytes of large replies that the client of each connection has not read yet. The brick
 * is done with a call of one reply, so no window limits these bytes: a client that does not read
 * may make no more calls. The same account is kept of large requests that bricks have not finished.
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

/* False: every client has read all its large replies. [any] */
static inline bool unread_any(const struct unread *unread)
{
        return atomic_load_explicit(&unread->n_connections, memory_order_relaxed) > 0;
}

void unread_init(struct unread *unread);
void unread_done(struct unread *unread);

/* A reply of so many bytes is sent. connection: a number that no other open connection has. False:
 * out of memory, the reply is not counted. [any] */
bool unread_add(struct unread *unread, uintptr_t connection, size_t size);

/* A counted reply has been read, at this time of clock_now(); 0: it was dropped. [any] */
void unread_remove(struct unread *unread, uintptr_t connection, size_t size, uint64_t read);

/* Whether the client has so many bytes to read that it may make no more calls for now. limit: the
 * port's largest reply, in bytes. [any] */
bool unread_is_too_much(struct unread *unread, uintptr_t connection, size_t limit, uint64_t now);

/* Whether so many bytes more leave the connection within its limit. Where there is nothing yet, any
 * number fits. [any] */
bool unread_has_room(struct unread *unread, uintptr_t connection, size_t size, size_t limit);

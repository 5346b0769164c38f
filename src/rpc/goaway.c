/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"

/* The most pieces that the core writes at once. If there are that many, the frame may continue in
 * the next write. */
#define CORE_IOVEC_MAX 260

/* Length 8, type 7, stream 0; last stream 2^31-1, so that none is refused; NO_ERROR. */
static const unsigned char goaway[GATHER_FRAME_MAX] = { 0,    0,    8,    7,    0, 0, 0, 0, 0,
                                                        0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 };

static atomic_bool announced;

/* Lock held. Sends it only between two frames of the core's; and only after the client has seen the
 * SETTINGS, because it would take an earlier GOAWAY for a failure to connect. */
static void send_goaway(struct connection *connection)
{
        struct gather *g = &connection->gather;

        if (!g->greeted || !g->whole || g->goaway_sent || g->shut || g->closed ||
            atomic_load_explicit(&connection->disconnected, memory_order_relaxed))
                return;
        g->goaway_sent = gather_add(connection, goaway, sizeof goaway);
}

void goaway_all(void)
{
        int fd;
        struct connection *connection;

        atomic_store(&announced, true);
        fd = connection_end(); /* connections above it see `announced` */
        while ((connection = connection_lock_below(&fd))) {
                send_goaway(connection);
                if (atomic_load(&connection->blocked))
                        (void)connection_rearm(connection); /* it is read now: receive.c */
                (void)pthread_mutex_unlock(&connection->lock);
        }
}

bool goaway_announced(void)
{
        return atomic_load_explicit(&announced, memory_order_relaxed);
}

/* GOAWAY follows the core's next write: a client that has just connected has a call to send. */
void goaway_greeted(struct connection *connection)
{
        (void)pthread_mutex_lock(&connection->lock);
        connection->gather.greeted = true;
        (void)pthread_mutex_unlock(&connection->lock);
}

void goaway_note_write(struct connection *connection, const struct msghdr *message, size_t size,
                       ssize_t written)
{
        connection->gather.whole = written >= 0 && (size_t)written == size &&
                                   message->msg_iovlen < CORE_IOVEC_MAX;
        if (goaway_announced())
                send_goaway(connection);
}

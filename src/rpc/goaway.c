/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"

/* The core hands the kernel at most so many pieces at once: after so many, a write may go on. */
#define CORE_IOVEC_MAX 260

/* Length 8, type 7, stream 0; no stream is refused, NO_ERROR. */
static const unsigned char goaway[GATHER_FRAME_MAX] = { 0,    0,    8,    7,    0, 0, 0, 0, 0,
                                                        0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 };

static atomic_bool retiring;

/* Lock held. A frame must not come between the halves of another; and a client that has yet to see
 * the SETTINGS would take it for a failure to connect. */
static void tell(struct connection *connection)
{
        struct gather *g = &connection->gather;

        if (!g->greeted || !g->whole || g->told || g->shut || g->closed ||
            atomic_load_explicit(&connection->lost, memory_order_relaxed))
                return;
        g->told = gather_add(connection, goaway, sizeof goaway);
}

void goaway_all(void)
{
        int fd;
        struct connection *connection;

        atomic_store(&retiring, true);
        fd = connection_end(); /* later ones find that they are retiring */
        while ((connection = connection_lock_below(&fd))) {
                tell(connection);
                if (atomic_load(&connection->blocked))
                        (void)connection_rearm(connection); /* to be read, see receive.c */
                (void)pthread_mutex_unlock(&connection->lock);
        }
}

bool goaway_told(void)
{
        return atomic_load_explicit(&retiring, memory_order_relaxed);
}

/* A client that has just connected has a call to send: it hears of GOAWAY with the next write. */
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
        if (goaway_told())
                tell(connection);
}

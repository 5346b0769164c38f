/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/linger.h"
#include "util/clock.h"
#include "util/syscall.h"

/* How long a peer may take to read the last bytes of a connection that the core has closed: as long
 * as TCP waits for their acknowledgement. A unix socket has no such timeout. */
#define LAST_BYTES_NS (20 * NSEC_PER_SEC)

void linger_complete(struct connection *connection)
{
        struct gather *g = &connection->gather;

        if (g->shut)
                (void)sys_shutdown(connection->fd, SHUT_RDWR);
        g->shut = false;
}

bool linger_is_over(struct connection *connection)
{
        struct gather *g = &connection->gather;
        bool over = g->closed && g->begin == g->end;

        g->closed = g->closed && !over;
        return over;
}

bool linger_shutdown(struct connection *connection)
{
        bool later;

        (void)pthread_mutex_lock(&connection->lock);
        later = gather_push(connection) == -EAGAIN;
        connection->gather.shut = later;
        (void)pthread_mutex_unlock(&connection->lock);
        return later;
}

bool linger_close(struct connection *connection)
{
        struct gather *g = &connection->gather;
        bool later;

        (void)pthread_mutex_lock(&connection->lock);
        later = gather_push(connection) == -EAGAIN;
        g->closed = later;
        g->closed_at = clock_now();
        unfinished_clear(&connection->inspect.frames.unfinished);
        (void)pthread_mutex_unlock(&connection->lock);
        return later;
}

/* The shutdown causes an event, whose handler finds that the bytes cannot be sent, and closes the
 * connection. */
void linger_maintain(uint64_t now)
{
        int fd = connection_end();
        struct connection *connection;

        if (!gather_stalled_any())
                return;
        while ((connection = connection_lock_below(&fd))) {
                const struct gather *g = &connection->gather;

                if (g->closed && now >= g->closed_at + LAST_BYTES_NS)
                        (void)sys_shutdown(fd, SHUT_RDWR);
                (void)pthread_mutex_unlock(&connection->lock);
        }
}

void linger_disconnect(void)
{
        int fd = connection_end();
        struct connection *connection;

        while ((connection = connection_lock_below(&fd))) {
                if (!connection_is_client(connection))
                        (void)sys_shutdown(fd, SHUT_RDWR);
                (void)pthread_mutex_unlock(&connection->lock);
        }
}

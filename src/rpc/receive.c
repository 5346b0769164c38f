/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/goaway.h"
#include "rpc/receive.h"
#include "rpc/syscall.h"

/*
 * Bytes that the core may read from a connection before others have their turn: as many as brought
 * TURN_CALLS calls the last time, and more of a client that is seen to send large messages.
 */
#define TURN ((size_t)16 * 1024)
#define TURN_LARGE (4 * TURN)
#define TURN_FIRST ((size_t)4 * 1024)
#define TURN_MIN ((size_t)1024)
#define TURN_CALLS 64

static size_t next_size(const struct turn *turn, const struct frames *frames)
{
        size_t taken = turn->size - turn->left, size;
        uint64_t calls = frames->calls - turn->calls;

        if (turn->size == 0)
                return TURN_FIRST;
        if (taken < turn->size / 2) /* nothing to be learnt from it */
                return turn->size;
        if (frames->data - turn->data > taken / 8 * 7)
                return TURN_LARGE;
        if (calls == 0)
                return TURN;
        size = taken / calls * TURN_CALLS;
        if (size > TURN)
                return TURN;
        return size < TURN_MIN ? TURN_MIN : size;
}

static void begin_turn(struct connection *connection)
{
        const struct frames *frames = &connection->inspect.frames;
        struct turn *turn = &connection->turn;

        turn->size = turn->left = next_size(turn, frames);
        turn->data = frames->data;
        turn->calls = frames->calls;
        turn->over = false;
}

/* It has begun as many calls in this second as one connection may. */
static bool is_spent(struct connection *connection)
{
        const struct inspect *inspect = &connection->inspect;
        struct turn *turn = &connection->turn;
        unsigned second = connection_second();
        uint64_t most = inspect->peer.listener->conf->max_calls;

        if (turn->second != second) {
                turn->second = second;
                turn->begun = inspect->frames.calls;
        }
        return most > 0 && inspect->frames.calls - turn->begun >= most;
}

static bool event_came(struct connection *connection)
{
        if (!atomic_load_explicit(&connection->event_came, memory_order_acquire))
                return false;
        atomic_store_explicit(&connection->event_came, false, memory_order_relaxed);
        return true;
}

/*
 * False: the turn is over, and the core is told that nothing has come. It waits for edges, so the
 * edge is made anew, once: an event then comes at once, when others have had theirs; or with the
 * next second.
 */
static bool may_read(struct connection *connection)
{
        struct turn *turn = &connection->turn;

        /* The event that says that there is room again also says what there is to read. But who has
         * been told to go is served what is on its way. */
        if (atomic_load_explicit(&connection->blocked, memory_order_acquire) && !goaway_told())
                return false;
        if (event_came(connection) || turn->size == 0)
                begin_turn(connection);
        if (is_spent(connection)) {
                atomic_store(&connection->rearm, true);
                return false;
        }
        if (turn->left > 0)
                return true;
        if (turn->over)
                return false;
        turn->over = true;
        if (connection_rearm(connection))
                return false;
        begin_turn(connection); /* the core does not wait for it in this way */
        return true;
}

static size_t room_of(const struct msghdr *message)
{
        size_t room = 0;

        for (size_t i = 0; i < message->msg_iovlen; i++)
                room += message->msg_iov[i].iov_len;
        return room;
}

/* As recvmsg(), but of at most so many bytes. */
static ssize_t receive_part(int fd, struct msghdr *message, int flags, size_t most)
{
        struct iovec *last = message->msg_iov, whole;
        size_t n = message->msg_iovlen;
        ssize_t r;

        for (; last->iov_len < most; last++)
                most -= last->iov_len;
        whole = *last;
        last->iov_len = most;
        message->msg_iovlen = (size_t)(last - message->msg_iov) + 1;
        r = sys_recvmsg(fd, message, flags);
        message->msg_iovlen = n;
        *last = whole;
        return r;
}

/* Within the connection's turn: the core soon has room for megabytes for a client that sends much.
 */
static ssize_t receive_in_turn(struct connection *connection, struct msghdr *message, int flags)
{
        size_t left = connection->turn.left;
        ssize_t n;

        n = room_of(message) <= left ? sys_recvmsg(connection->fd, message, flags)
                                     : receive_part(connection->fd, message, flags, left);
        if (n > 0)
                connection->turn.left -= (size_t)n;
        return n;
}

/* What has been read may go on to the core. Of TLS, decrypt.c says so. */
static bool inspect_message(struct connection *connection, const struct msghdr *message,
                            size_t length)
{
        struct inspect *inspect = &connection->inspect;
        bool greeted = inspect->frames.greeted;

        if (inspect->peer.listener->conf->tls.node)
                return true;
        for (const struct iovec *piece = message->msg_iov; length > 0; piece++) {
                size_t n = length < piece->iov_len ? length : piece->iov_len;

                if (!inspect_bytes(inspect, piece->iov_base, n))
                        return false;
                length -= n;
        }
        if (inspect->frames.greeted && !greeted)
                goaway_greeted(connection);
        return true;
}

static ssize_t say_lost(void)
{
        errno = ECONNRESET;
        return -1;
}

ssize_t receive_message(struct connection *connection, struct msghdr *message, int flags)
{
        ssize_t n;

        if (atomic_load_explicit(&connection->lost, memory_order_acquire))
                return say_lost();
        if (!may_read(connection)) {
                errno = EAGAIN;
                return -1;
        }
        n = receive_in_turn(connection, message, flags);
        if (n > 0 && !inspect_message(connection, message, (size_t)n)) {
                /* The core would wait for its write to end, and the client may never read. */
                (void)pthread_mutex_lock(&connection->lock);
                connection_lose(connection);
                (void)pthread_mutex_unlock(&connection->lock);
                return say_lost();
        }
        return n;
}

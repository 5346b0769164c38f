/* SPDX-License-Identifier: MIT */

/*
 * What the connections of listen.h receive. gRPC core reads from a connection for as long as
 * something comes, and does nothing else meanwhile: one client that sends calls faster than they
 * can be begun holds up all others, while memory fills with calls that nobody has been told of.
 * This file defines recvmsg() and epoll_ctl() in the executable, in front of libc's: connections
 * take turns, and one whose client breaks the limits is closed.
 */

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/listen.h"
#include "rpc/syscall.h"

/* Bytes that the core may read from a connection before others have their turn: few may begin many
 * calls, unless it is seen to send large messages. */
#define TURN ((size_t)16 * 1024)
#define TURN_LARGE (4 * TURN)

static void begin_turn(struct connection *connection)
{
        const struct frames *frames = &connection->inspect.frames;
        size_t taken = connection->turn - connection->left;
        bool large = frames->data - connection->data > taken / 8 * 7;

        if (taken > 0 || connection->turn == 0)
                connection->turn = large ? TURN_LARGE : TURN;
        connection->left = connection->turn;
        connection->data = frames->data;
        connection->paused = false;
}

/*
 * False: the turn is over, and the core is told that nothing has come. It waits for edges, so the
 * edge is made anew, once: an event then comes at once, when others have had theirs.
 */
static bool may_read(struct connection *connection, int fd)
{
        if (gather_event_came(fd) || connection->turn == 0)
                begin_turn(connection);
        if (connection->left > 0)
                return true;
        if (connection->paused)
                return false;
        connection->paused = true;
        if (sys_epoll_ctl(connection->epoll, EPOLL_CTL_MOD, fd, &connection->event) == 0)
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
static ssize_t receive(int fd, struct msghdr *message, int flags, size_t most)
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
static ssize_t receive_in_turn(struct connection *connection, int fd, struct msghdr *message,
                               int flags)
{
        ssize_t n;

        n = room_of(message) <= connection->left ? sys_recvmsg(fd, message, flags)
                                                 : receive(fd, message, flags, connection->left);
        if (n > 0)
                connection->left -= (size_t)n;
        return n;
}

/* What has been read may go on to the core. */
static bool inspect_message(struct connection *connection, int fd, const struct msghdr *message,
                            size_t length)
{
        bool greeted = connection->inspect.frames.greeted;

        for (const struct iovec *piece = message->msg_iov; length > 0; piece++) {
                size_t n = length < piece->iov_len ? length : piece->iov_len;

                if (!inspect_bytes(&connection->inspect, piece->iov_base, n))
                        return false;
                length -= n;
        }
        if (connection->inspect.frames.greeted && !greeted)
                gather_greeted(fd);
        return true;
}

__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        struct connection *connection = connection_of(fd);
        ssize_t n;

        if (!connection || flags & MSG_ERRQUEUE)
                return sys_recvmsg(fd, message, flags);
        if (gather_is_lost(fd)) {
                errno = ECONNRESET;
                return -1;
        }
        if (!may_read(connection, fd)) {
                errno = EAGAIN;
                return -1;
        }
        n = receive_in_turn(connection, fd, message, flags);
        if (n > 0 && !inspect_message(connection, fd, message, (size_t)n)) {
                /* The core would wait for its write to end, and the client may never read. */
                (void)sys_shutdown(fd, SHUT_RDWR);
                errno = ECONNRESET;
                return -1;
        }
        return n;
}

__attribute__((visibility("default"))) int epoll_ctl(int epoll, int op, int fd,
                                                     struct epoll_event *event)
{
        struct connection *connection = op == EPOLL_CTL_ADD ? connection_of(fd) : NULL;

        if (op == EPOLL_CTL_ADD && !connection)
                listen_wait(fd, epoll, event);
        if (!connection)
                return sys_epoll_ctl(epoll, op, fd, event);
        connection->epoll = epoll;
        connection->event = *event;
        gather_mark(fd, epoll, &connection->event);
        return sys_epoll_ctl(epoll, op, fd, &connection->event);
}

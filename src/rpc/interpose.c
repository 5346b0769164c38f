/* SPDX-License-Identifier: MIT */

/*
 * The libc functions that brickd-worker replaces: gRPC core, and everything else in the process,
 * calls these instead. Each hands what concerns an adopted socket or a connection to the file that
 * is responsible, and everything else to the kernel. decrypt.c replaces two functions of OpenSSL.
 */

#include <errno.h>
#include <grpc/grpc.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "module/load.h"
#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/guest.h"
#include "rpc/linger.h"
#include "rpc/listen.h"
#include "rpc/receive.h"
#include "serve/listener.h"
#include "util/syscall.h"

#define INTERPOSED __attribute__((visibility("default")))

/* NULL: the descriptor is no adopted listening socket. */
static struct listener *listener_of(int fd)
{
        struct fd_record *record = fd_record(fd);

        return record && atomic_load_explicit(&record->kind, memory_order_acquire) == FD_LISTENER
                       ? record->listener
                       : NULL;
}

INTERPOSED int bind(int fd, const struct sockaddr *address, socklen_t length)
{
        return listen_bind(fd, address, length);
}

/* The sockets of others that connect, such as libcurl, are not the core's. */
INTERPOSED int connect(int fd, const struct sockaddr *address, socklen_t length)
{
        const void *caller = __builtin_return_address(0);
        int r = sys_connect(fd, address, length), saved_errno = errno;

        if ((r == 0 || errno == EINPROGRESS) && module_same_file(caller, (const void *)grpc_init))
                connection_add_client(fd);
        errno = saved_errno;
        return r;
}

INTERPOSED int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
        struct listener *listener = listener_of(fd);

        return listener ? listen_accept(listener, address, length, flags)
                        : sys_accept4(fd, address, length, flags);
}

/* The core asks for the name of a client of a unix socket, which has none. */
INTERPOSED int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
        struct connection *connection = connection_of(fd);

        return connection && connection->local ? connection_name_user(connection, address, length)
                                               : sys_getpeername(fd, address, length);
}

/* With MSG_ERRQUEUE the core does not ask for received bytes. */
INTERPOSED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        struct connection *connection = flags & MSG_ERRQUEUE ? NULL : connection_of(fd);

        return connection ? receive_message(connection, message, flags)
                          : sys_recvmsg(fd, message, flags);
}

INTERPOSED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        struct connection *connection = connection_of(fd);

        return connection ? gather_write(connection, message, flags)
                          : sys_sendmsg(fd, message, flags);
}

INTERPOSED int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
        struct connection *connection = op == EPOLL_CTL_ADD ? connection_of(fd) : NULL;
        struct listener *listener = op == EPOLL_CTL_ADD ? listener_of(fd) : NULL;

        if (op == EPOLL_CTL_ADD)
                guest_note(epoll);
        if (listener)
                listener_wait(listener, epoll, event);
        if (!connection)
                return sys_epoll_ctl(epoll, op, fd, event);
        gather_mark(connection, epoll, event);
        return sys_epoll_ctl(epoll, op, fd, &connection->event);
}

INTERPOSED int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
        return gather_wait(epoll, events, max, timeout);
}

/* shutdown() of a listening socket would affect every process that shares it. */
INTERPOSED int shutdown(int fd, int how)
{
        struct connection *connection = connection_of(fd);

        if (connection)
                connection_note_end(connection);
        if (listener_of(fd) || (connection && linger_shutdown(connection)))
                return 0;
        return sys_shutdown(fd, how);
}

INTERPOSED int close(int fd)
{
        struct connection *connection = connection_of(fd);
        struct listener *listener = listener_of(fd);

        if (connection && linger_close(connection))
                return 0;
        if (connection)
                connection_remove(connection);
        if (listener) {
                atomic_store(&fd_record(fd)->kind, FD_OTHER);
                listener_close(listener);
        }
        return sys_close(fd);
}

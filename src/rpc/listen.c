/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/listen.h"
#include "serve/listener.h"
#include "util/syscall.h"

static _Thread_local int adopt_next = -1;
static _Thread_local const struct conf_port *adopt_conf;
static _Thread_local struct stats_port *adopt_stats;

/* What listen_take_accepted() returns; -1: none. */
static _Thread_local int accepted = -1;

void listen_adopt(int fd, const struct conf_port *conf, struct stats_port *stats)
{
        adopt_next = fd;
        adopt_conf = conf;
        adopt_stats = stats;
}

struct connection *listen_take_accepted(void)
{
        struct connection *connection = connection_of(accepted);

        accepted = -1;
        return connection;
}

/* 127.0.0.1, also in IPv6 notation, which the core uses for its dual-stack sockets; not [::1], with
 * which the core probes. */
static bool is_placeholder(const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;
        uint32_t ip;

        if (address->sa_family == AF_INET)
                return v4->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
        if (address->sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
                return false;
        memcpy(&ip, &v6->sin6_addr.s6_addr[12], sizeof ip);
        return ip == htonl(INADDR_LOOPBACK);
}

/* The adopted socket replaces the core's own one under its number. */
static int adopt(int adopted, int fd)
{
        struct fd_record *record = fd_record_make(fd);

        if (!record) {
                errno = ENOMEM;
                return -1;
        }
        if (fcntl(adopted, F_SETFL, fcntl(adopted, F_GETFL) | O_NONBLOCK) < 0 ||
            dup3(adopted, fd, O_CLOEXEC) < 0)
                return -1;
        record->listener = listener_new(fd, adopt_conf, adopt_stats);
        if (!record->listener) {
                errno = ENOMEM;
                return -1;
        }
        atomic_store(&record->kind, FD_LISTENER);
        listener_set_options(fd); /* the core has set them on its own socket */
        (void)sys_close(adopted);
        return 0;
}

int listen_bind(int fd, const struct sockaddr *address, socklen_t length)
{
        int adopted = adopt_next;

        if (adopted < 0 || !is_placeholder(address))
                return sys_bind(fd, address, length);
        adopt_next = -1;
        return adopt(adopted, fd);
}

int listen_accept(struct listener *listener, struct sockaddr *address, socklen_t *length, int flags)
{
        struct sockaddr_storage peer;
        int connection;

        while ((connection = listener_accept(listener, &peer, flags)) >= 0 &&
               !connection_add(connection, listener, (struct sockaddr *)&peer))
                (void)sys_close(connection);
        if (connection < 0) {
                /* After any other error the core would never use the listener again. */
                errno = EAGAIN;
                return -1;
        }
        accepted = listener->conf->tls.node ? connection : -1;
        if (address) {
                *length = *length < sizeof peer ? *length : sizeof peer;
                memcpy(address, &peer, *length);
        }
        return connection;
}

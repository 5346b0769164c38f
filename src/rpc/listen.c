/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/listen.h"
#include "rpc/syscall.h"
#include "shared/stats.h"
#include "util/clock.h"

/* A peer that acknowledges no data for so long counts as disconnected. */
#define USER_TIMEOUT_MS 20000

/* Connections that the core may accept before it does something else: it would accept all. */
#define ACCEPT_BATCH 16

/*
 * A worker that leaves connections to another checks again after RETRY_NS whether they still wait.
 * After PATIENCE_NS it accepts some, and more every STUCK_NS: a healthy worker may not be scheduled
 * for that long, but a stuck one must not delay connections further.
 */
#define RETRY_NS (250 * NSEC_PER_USEC)
#define PATIENCE_NS (4 * NSEC_PER_MSEC)
#define STUCK_NS NSEC_PER_MSEC

static struct listener *listeners; /* all that there have ever been */
static atomic_bool paused;

static _Thread_local int adopt_next = -1;
static _Thread_local struct listener adopt_as;

/* What listen_take_accepted() returns; -1: none. */
static _Thread_local int accepted = -1;

/* A descriptor that can be closed when the descriptor table is full. */
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;
static int reserve = -1;

static void drop_timer(struct listener *listener)
{
        if (listener->timer >= 0)
                (void)sys_close(listener->timer);
        listener->timer = -1;
}

void listen_adopt(int fd, const struct conf_port *conf, struct stats_port *stats)
{
        adopt_next = fd;
        adopt_as = (struct listener){ .conf = conf, .stats = stats, .epoll = -1, .timer = -1 };
}

void listen_wait(struct listener *listener, int epoll, const struct epoll_event *event)
{
        listener->epoll = epoll;
        listener->event = *event;
}

struct connection *listen_take_accepted(void)
{
        struct connection *connection = connection_of(accepted);

        accepted = -1;
        return connection;
}

void listen_pause(void)
{
        atomic_store(&paused, true);
        connection_pause();
}

unsigned listen_connections(void)
{
        return connection_count();
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

/* The options that the core has set on its own socket; accepted connections inherit them. A unix
 * socket has neither. */
static void set_options(int fd)
{
        static const int on = 1, timeout = USER_TIMEOUT_MS;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

/* The adopted socket replaces the core's own one under its number. */
static int adopt(int adopted, int fd)
{
        struct fd_record *record = fd_record_make(fd);
        struct listener *listener = calloc(1, sizeof *listener);

        if (!record || !listener) {
                free(listener);
                errno = ENOMEM;
                return -1;
        }
        if (fcntl(adopted, F_SETFL, fcntl(adopted, F_GETFL) | O_NONBLOCK) < 0 ||
            dup3(adopted, fd, O_CLOEXEC) < 0) {
                free(listener);
                return -1;
        }
        *listener = adopt_as;
        listener->fd = fd;
        listener->next = listeners;
        listeners = listener; /* never freed: connections name it */
        record->listener = listener;
        atomic_store(&record->kind, FD_LISTENER);
        set_options(fd);
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

/*
 * The descriptor table is full. Accepts the next connection with the reserved descriptor and closes
 * it, so that its client does not wait in vain. False: no connection waits.
 */
static bool shed_connection(int fd, struct listener *listener)
{
        int connection = -1;

        (void)pthread_mutex_lock(&reserve_lock);
        if (reserve >= 0) {
                (void)sys_close(reserve);
                connection = sys_accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                if (connection >= 0)
                        (void)sys_close(connection);
                reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        (void)pthread_mutex_unlock(&reserve_lock);
        connection_refuse();
        if (connection >= 0)
                stats_reject(listener->stats, STATS_REJECTED_DESCRIPTORS);
        return connection >= 0;
}

static bool is_full(int error)
{
        return error == EMFILE || error == ENFILE;
}

/* The next connection has ended in the queue; another may be behind it. */
static bool is_aborted(int error)
{
        return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static void keep_reserve(void)
{
        (void)pthread_mutex_lock(&reserve_lock);
        if (reserve < 0)
                reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)pthread_mutex_unlock(&reserve_lock);
}

/* Re-arms the listener's edge-triggered event, so that it comes again if more connections wait. */
static bool rearm(struct listener *listener)
{
        return epoll_ctl(listener->epoll, EPOLL_CTL_MOD, listener->fd, &listener->event) == 0;
}

static bool batch_is_over(struct listener *listener)
{
        if (listener->batch++ < ACCEPT_BATCH)
                return false;
        listener->batch = 0;
        return rearm(listener);
}

static bool is_ready(int fd, short events)
{
        struct pollfd pollfd = { .fd = fd, .events = events };

        return poll(&pollfd, 1, 0) > 0;
}

/* When the timer expires, epoll reports the listener's event, and the core calls accept4() again.
 */
static void make_timer(struct listener *listener)
{
        listener->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (listener->timer >= 0 &&
            epoll_ctl(listener->epoll, EPOLL_CTL_ADD, listener->timer, &listener->event) < 0)
                drop_timer(listener);
}

static bool retry_soon(struct listener *listener)
{
        static const struct itimerspec soon = { .it_value.tv_nsec = RETRY_NS };

        if (listener->timer < 0)
                make_timer(listener);
        return timerfd_settime(listener->timer, 0, &soon, NULL) == 0;
}

/*
 * True: accept no connection now, because another worker has fewer. The kernel has woken that
 * worker, too, for the connection that waits.
 */
static bool yield_to_others(struct listener *listener)
{
        bool ahead = connection_is_ahead();
        uint64_t now;

        if (!ahead || !is_ready(listener->fd, POLLIN)) {
                listener->until = 0;
                return ahead;
        }
        now = clock_now();
        if (listener->until == 0 || listener->few == 0) {
                listener->until = now + (listener->until == 0 ? PATIENCE_NS : STUCK_NS);
                listener->few = 1 + connection_count() / 16;
        }
        if (now < listener->until && retry_soon(listener))
                return true;
        listener->few--;
        return false;
}

void listen_maintain(void)
{
        for (struct listener *l = listeners; l; l = l->next)
                if (atomic_exchange(&l->missed, false))
                        (void)rearm(l);
}

/*
 * Whether the client has closed the connection while it was in the queue. The core would make a
 * transport for it and tear that down again: behind thousands of them, a new client would wait for
 * a second.
 */
static bool is_abandoned(int connection)
{
        return is_ready(connection, POLLRDHUP);
}

/* Accepts the next connection that may be served; -1: there is none. Connections above a limit are
 * closed, which their clients see at once. */
static int next_connection(int fd, struct listener *listener, struct sockaddr_storage *address,
                           int flags)
{
        while (!yield_to_others(listener) && !batch_is_over(listener)) {
                socklen_t length = sizeof *address;
                int connection = sys_accept4(fd, (struct sockaddr *)address, &length, flags);

                if (connection >= 0 && !is_abandoned(connection) &&
                    connection_add(connection, listener, (struct sockaddr *)address)) {
                        accepted = listener->conf->tls.node ? connection : -1;
                        return connection;
                }
                if (connection >= 0) {
                        (void)sys_close(connection);
                } else if (errno == EAGAIN) {
                        break;
                } else if (!is_aborted(errno) &&
                           !(is_full(errno) && shed_connection(fd, listener))) {
                        atomic_store(&listener->missed, true);
                        break;
                }
        }
        return -1;
}

int listen_accept(struct listener *listener, struct sockaddr *address, socklen_t *length, int flags)
{
        struct sockaddr_storage peer = { 0 };
        int connection;

        if (atomic_load(&paused)) {
                errno = EAGAIN;
                return -1;
        }

        keep_reserve();
        connection = next_connection(listener->fd, listener, &peer, flags);
        if (connection < 0) {
                /* After any other error the core would never use the listener again. */
                errno = EAGAIN;
        } else if (address) {
                *length = *length < sizeof peer ? *length : sizeof peer;
                memcpy(address, &peer, *length);
        }
        return connection;
}

void listen_close(struct listener *listener)
{
        drop_timer(listener);
}

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

/* Data that a peer does not acknowledge for so long: it is gone. */
#define USER_TIMEOUT_MS 20000

/* Connections that the core may accept before others have their turn: it takes all that come. */
#define TURN 16

/*
 * A connection that is left to another worker is looked for again after LOOK_NS. After PATIENCE_NS
 * some are taken, and more every STUCK_NS: a worker that is well may lack the processor for that
 * long, but one that is stuck shall not cost more.
 */
#define LOOK_NS (250 * NSEC_PER_USEC)
#define PATIENCE_NS (4 * NSEC_PER_MSEC)
#define STUCK_NS NSEC_PER_MSEC

static struct listener *listeners; /* all that there have been */
static atomic_bool paused;

static _Thread_local int adopt_next = -1;
static _Thread_local struct listener adopt_as;

/* The connection that this thread has accepted last; -1: none, or somebody has asked for it. */
static _Thread_local int accepted = -1;

/* A descriptor kept to be given up when the table is full. */
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
        connection_leave();
}

unsigned listen_connections(void)
{
        return connection_count();
}

/* 127.0.0.1, also as the core writes it for its dual-stack sockets: not the [::1] that it probes
 * with. */
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

/* What the core had set on its own socket, for the connections to inherit. A unix socket has
 * neither. */
static void set_options(int fd)
{
        static const int on = 1, timeout = USER_TIMEOUT_MS;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

/* The core's own socket goes, the adopted one takes its number. */
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
        listeners = listener; /* for good: connections name it */
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
 * The table of descriptors is full. The connection that waits is taken with the reserved descriptor
 * and closed, which its client sees at once. False: none waits.
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

/* The connection that was next in the queue has died there; another may be behind it. */
static bool is_gone(int error)
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

/* The core waits for edges: set anew, the edge comes again if there is more to accept. */
static bool ask_again(struct listener *listener)
{
        return epoll_ctl(listener->epoll, EPOLL_CTL_MOD, listener->fd, &listener->event) == 0;
}

static bool turn_is_over(struct listener *listener)
{
        if (listener->turn++ < TURN)
                return false;
        listener->turn = 0;
        return ask_again(listener);
}

static bool is_now(int fd, short events)
{
        struct pollfd pollfd = { .fd = fd, .events = events };

        return poll(&pollfd, 1, 0) > 0;
}

/* The timer goes off as an event of the listener, on which the core calls accept4() once more. */
static void make_timer(struct listener *listener)
{
        listener->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (listener->timer >= 0 &&
            epoll_ctl(listener->epoll, EPOLL_CTL_ADD, listener->timer, &listener->event) < 0)
                drop_timer(listener);
}

static bool look_again(struct listener *listener)
{
        static const struct itimerspec soon = { .it_value.tv_nsec = LOOK_NS };

        if (listener->timer < 0)
                make_timer(listener);
        return timerfd_settime(listener->timer, 0, &soon, NULL) == 0;
}

/*
 * True: none is to be accepted now. If one waits, another worker has fewer connections, and the
 * kernel has woken it for this one, too.
 */
static bool leave_to_others(struct listener *listener)
{
        bool ahead = connection_is_ahead();
        uint64_t now;

        if (!ahead || !is_now(listener->fd, POLLIN)) {
                listener->until = 0;
                return ahead;
        }
        now = clock_now();
        if (listener->until == 0 || listener->few == 0) {
                listener->until = now + (listener->until == 0 ? PATIENCE_NS : STUCK_NS);
                listener->few = 1 + connection_count() / 16;
        }
        if (now < listener->until && look_again(listener))
                return true;
        listener->few--;
        return false;
}

void listen_look(void)
{
        for (struct listener *l = listeners; l; l = l->next)
                if (atomic_exchange(&l->missed, false))
                        (void)ask_again(l);
}

/*
 * Its client has closed it while it waited. The core would make a transport of it, only to take
 * that down again: when thousands of such are in the queue, who comes after them would wait for a
 * second.
 */
static bool is_abandoned(int connection)
{
        return is_now(connection, POLLRDHUP);
}

/* The next connection that may be served; those above a limit are closed, which their clients see
 * at once. */
static int next_connection(int fd, struct listener *listener, struct sockaddr_storage *address,
                           int flags)
{
        while (!leave_to_others(listener) && !turn_is_over(listener)) {
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
                } else if (!is_gone(errno) && !(is_full(errno) && shed_connection(fd, listener))) {
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
                /* After any other error than this one the core would give up on the listener for
                 * ever. */
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

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "conf/conf.h"
#include "conf/proxies.h"
#include "serve/listener.h"
#include "serve/peers.h"
#include "serve/proxied.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/network.h"
#include "util/syscall.h"

/* A peer that acknowledges no data for so long counts as disconnected. */
#define USER_TIMEOUT_MS 20000

/* Connections that are accepted before something else is done. */
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

/* A descriptor that can be closed when the descriptor table is full. */
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;
static int reserve = -1;

struct listener *listener_new(int fd, const struct conf_port *conf, struct stats_port *stats)
{
        struct listener *listener = calloc(1, sizeof *listener);

        if (!listener)
                return NULL;
        *listener = (struct listener){
                .conf = conf, .stats = stats, .fd = fd, .epoll = -1, .timer = -1, .next = listeners
        };
        if (proxies_any(&conf->proxy_protocol)) {
                listener->proxied = proxied_new(listener);
                if (!listener->proxied) {
                        free(listener);
                        return NULL;
                }
        }
        listeners = listener;
        return listener;
}

void listener_set_options(int fd)
{
        static const int on = 1, timeout = USER_TIMEOUT_MS;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

void listener_wait(struct listener *listener, int epoll, const struct epoll_event *event)
{
        listener->epoll = epoll;
        listener->event = *event;
        if (listener->proxied && !proxied_wait(listener->proxied, epoll, &listener->event))
                (void)log_errno(-errno, "Cannot wait for PROXY headers on %s: %m",
                                listener->conf->listen);
}

static void drop_timer(struct listener *listener)
{
        if (listener->timer >= 0)
                (void)sys_close(listener->timer);
        listener->timer = -1;
}

void listener_close(struct listener *listener)
{
        atomic_store(&listener->left, true);
        drop_timer(listener);
        listener->proxied = proxied_free(listener->proxied);
}

/* Another file takes the number, because gRPC core uses that until its server is shut down. */
static bool leave(struct listener *listener)
{
        int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
        bool done = other >= 0 && dup3(other, listener->fd, O_CLOEXEC) >= 0;

        if (other >= 0)
                (void)sys_close(other);
        return done;
}

static bool is_ready(int fd, short events)
{
        struct pollfd pollfd = { .fd = fd, .events = events };

        return poll(&pollfd, 1, 0) > 0;
}

bool listeners_leave(bool shared)
{
        bool all = true;

        if (shared)
                atomic_store(&paused, true);
        for (struct listener *l = listeners; l; l = l->next) {
                if (!atomic_load(&l->left) && (shared || !is_ready(l->fd, POLLIN)))
                        atomic_store(&l->left, leave(l));
                all = all && atomic_load(&l->left);
        }
        if (all)
                peers_pause();
        return all;
}

/*
 * The descriptor table is full. Accepts the next connection with the reserved descriptor and closes
 * it, so that its client does not wait in vain. False: no connection waits.
 */
static bool shed_connection(struct listener *listener)
{
        struct sockaddr_storage address = {};
        socklen_t length = sizeof address;
        struct peer_key key;
        int connection = -1;

        (void)pthread_mutex_lock(&reserve_lock);
        if (reserve >= 0) {
                (void)sys_close(reserve);
                connection = sys_accept4(listener->fd, (struct sockaddr *)&address, &length,
                                         SOCK_CLOEXEC);
                if (connection >= 0)
                        (void)sys_close(connection);
                reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        (void)pthread_mutex_unlock(&reserve_lock);
        peers_refuse();
        if (connection < 0)
                return false;
        key = peers_key(listener, (struct sockaddr *)&address);
        peers_reject(&key, STATS_REJECTED_DESCRIPTORS);
        return true;
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
        if (listener->proxied)
                proxied_wait_again(listener->proxied, listener->epoll, &listener->event);
        return epoll_ctl(listener->epoll, EPOLL_CTL_MOD, listener->fd, &listener->event) == 0;
}

static bool batch_is_over(struct listener *listener)
{
        if (listener->batch++ < ACCEPT_BATCH)
                return false;
        listener->batch = 0;
        return rearm(listener);
}

/* When the timer expires, epoll reports the listener's event, and
 * listener_accept() is called again. */
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
        bool ahead = peers_are_ahead();
        uint64_t now;

        if (!ahead || !is_ready(listener->fd, POLLIN)) {
                listener->until = 0;
                return ahead;
        }
        now = clock_now();
        if (listener->until == 0 || listener->few == 0) {
                listener->until = now + (listener->until == 0 ? PATIENCE_NS : STUCK_NS);
                listener->few = 1 + peers_count() / 16;
        }
        if (now < listener->until && retry_soon(listener))
                return true;
        listener->few--;
        return false;
}

void listeners_maintain(void)
{
        for (struct listener *l = listeners; l; l = l->next)
                if (!atomic_load(&l->left) && atomic_exchange(&l->missed, false))
                        (void)rearm(l);
}

static bool has_bytes(int connection)
{
        char byte;

        return recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/*
 * Whether the client has closed the connection while it was in the queue. The core would make a
 * transport for it and tear that down again: behind thousands of them, a new client would wait for
 * a second. A client of HTTP/1.1 may have said all that it has to say, and wait for the answer.
 */
static bool is_abandoned(const struct listener *listener, int connection)
{
        return is_ready(connection, POLLRDHUP) &&
               !(listener->conf->protocol == PROTOCOL_HTTP && has_bytes(connection));
}

/* Counts the connection. False: it is not served yet, or not at all; then it is closed, which its
 * client sees at once. */
static bool take(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
        const struct peer_key nobody = { .listener = listener };
        unsigned char ip[IP_BYTES];
        bool has_ip = ip_of_socket((const struct sockaddr *)address, ip);
        bool proxied = proxies_have(&listener->conf->proxy_protocol, has_ip ? ip : NULL);
        struct peer_key key = proxied ? nobody
                                      : peers_key(listener, (const struct sockaddr *)address);

        if (is_abandoned(listener, fd) || !peers_add(&key)) {
                (void)sys_close(fd);
                return false;
        }
        if (!proxied)
                return true;
        if (!listener->proxied || !proxied_add(listener->proxied, fd, address)) {
                peers_remove(&nobody);
                (void)sys_close(fd);
        }
        return false;
}

/* Accepts the next connection that may be served; -1: there is none. */
static int next_connection(struct listener *listener, struct sockaddr_storage *address, int flags)
{
        while (!yield_to_others(listener) && !batch_is_over(listener)) {
                socklen_t length = sizeof *address;
                int connection;

                *address = (struct sockaddr_storage){};
                connection = sys_accept4(listener->fd, (struct sockaddr *)address, &length, flags);
                if (connection >= 0 && take(listener, connection, address))
                        return connection;
                if (connection < 0 && errno == EAGAIN)
                        break;
                if (connection < 0 && !is_aborted(errno) &&
                    !(is_full(errno) && shed_connection(listener))) {
                        atomic_store(&listener->missed, true);
                        break;
                }
        }
        return -1;
}

int listener_accept(struct listener *listener, struct sockaddr_storage *ret_address, int flags)
{
        int fd;

        if (listener->proxied) {
                if (batch_is_over(listener))
                        return -1;
                fd = proxied_next(listener->proxied, ret_address);
                if (fd >= 0)
                        return fd;
        }
        if (atomic_load(&paused) || atomic_load(&listener->left))
                return -1;
        keep_reserve();
        return next_connection(listener, ret_address, flags);
}

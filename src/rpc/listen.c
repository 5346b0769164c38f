/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/stats.h"
#include "rpc/listen.h"

/* What brickd knows of a descriptor that the core uses. Higher numbers pass through unknown. */
#define FD_MAX (1 << 20)

/* Data that a peer does not acknowledge for so long: it is gone. */
#define USER_TIMEOUT_MS 20000

enum fd_kind {
        FD_OTHER,
        FD_LISTENER = LISTEN_MAX,       /* adopted */
        FD_CONNECTION = 2 * LISTEN_MAX, /* accepted from one */
};

/* A kind and the number of the listener. Zero pages until touched. */
static _Atomic unsigned char kinds[FD_MAX];
static struct stats_port *listeners[LISTEN_MAX];
static unsigned n_listeners;
static atomic_uint connections;
static atomic_bool paused;

static _Thread_local int adopt_next = -1;
static _Thread_local struct stats_port *adopt_stats;

/* A descriptor kept to be given up when the table is full. */
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;
static int reserve = -1;

/* libc's own functions of these names are what we hide, so these are the system calls themselves.
 */
static int sys_bind(int fd, const struct sockaddr *address, socklen_t length)
{
        return (int)syscall(SYS_bind, fd, address, length);
}

static int sys_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
        return (int)syscall(SYS_accept4, fd, address, length, flags);
}

static int sys_shutdown(int fd, int how)
{
        return (int)syscall(SYS_shutdown, fd, how);
}

static int sys_close(int fd)
{
        return (int)syscall(SYS_close, fd);
}

static enum fd_kind kind_of(int fd, unsigned *ret_listener)
{
        unsigned kind = 0;

        if (fd >= 0 && fd < FD_MAX)
                kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
        *ret_listener = kind % LISTEN_MAX;
        return kind - kind % LISTEN_MAX;
}

static void set_kind(int fd, enum fd_kind kind, unsigned listener)
{
        if (fd >= 0 && fd < FD_MAX)
                atomic_store_explicit(&kinds[fd], (unsigned char)(kind + listener),
                                      memory_order_relaxed);
}

static void count_connection(int fd, unsigned listener)
{
        if (fd < 0 || fd >= FD_MAX)
                return;
        set_kind(fd, FD_CONNECTION, listener);
        (void)atomic_fetch_add(&connections, 1);
        (void)atomic_fetch_add(&listeners[listener]->connections, 1);
        stats_count_shared(&listeners[listener]->counters.accepted);
}

void listen_adopt(int fd, struct stats_port *stats)
{
        adopt_next = fd;
        adopt_stats = stats;
}

void listen_pause(void)
{
        atomic_store(&paused, true);
}

unsigned listen_connections(void)
{
        return atomic_load(&connections);
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

__attribute__((visibility("default"))) int bind(int fd, const struct sockaddr *address,
                                                socklen_t length)
{
        int adopted = adopt_next;

        if (adopted < 0 || !is_placeholder(address))
                return sys_bind(fd, address, length);

        /* The core's own socket goes, the adopted one takes its number. */
        adopt_next = -1;
        if (fcntl(adopted, F_SETFL, fcntl(adopted, F_GETFL) | O_NONBLOCK) < 0 ||
            dup3(adopted, fd, O_CLOEXEC) < 0)
                return -1;
        set_kind(fd, FD_LISTENER, n_listeners);
        listeners[n_listeners++] = adopt_stats;
        set_options(fd);
        (void)sys_close(adopted);
        return 0;
}

/*
 * The table of descriptors is full. The connection that waits is taken with the reserved descriptor
 * and closed, which its client sees at once. False: none waits.
 */
static bool shed_connection(int fd, unsigned listener)
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
        if (connection >= 0)
                stats_reject(listeners[listener], STATS_REJECTED_DESCRIPTORS);
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

__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *address,
                                                   socklen_t *length, int flags)
{
        unsigned listener;
        int connection;

        if (kind_of(fd, &listener) != FD_LISTENER)
                return sys_accept4(fd, address, length, flags);
        if (atomic_load(&paused)) {
                errno = EAGAIN;
                return -1;
        }

        keep_reserve();
        do
                connection = sys_accept4(fd, address, length, flags);
        while (connection < 0 &&
               (is_gone(errno) || (is_full(errno) && shed_connection(fd, listener))));

        /* After any other error than this one the core would give up on the listener for ever. */
        if (connection < 0)
                errno = EAGAIN;
        count_connection(connection, listener);
        return connection;
}

/* shutdown() on a listening socket would act on every process that has it. */
__attribute__((visibility("default"))) int shutdown(int fd, int how)
{
        unsigned listener;

        return kind_of(fd, &listener) == FD_LISTENER ? 0 : sys_shutdown(fd, how);
}

__attribute__((visibility("default"))) int close(int fd)
{
        unsigned listener;
        enum fd_kind kind = kind_of(fd, &listener);

        if (kind != FD_OTHER)
                set_kind(fd, FD_OTHER, 0);
        if (kind == FD_CONNECTION) {
                (void)atomic_fetch_sub(&connections, 1);
                (void)atomic_fetch_sub(&listeners[listener]->connections, 1);
        }
        return sys_close(fd);
}

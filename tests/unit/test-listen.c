/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/stats.h"
#include "rpc/listen.h"

/* The functions of libc that rpc/listen.c stands in front of, called as gRPC core calls them. */

static struct sockaddr_in loopback(void)
{
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

/* As the main process makes it. */
static int listener_new(void)
{
        struct sockaddr_in address = loopback();
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert(fd >= 0);
        assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
        assert(listen(fd, 16) == 0);
        return fd;
}

static struct stats_port stats;

/* As the core does: a socket of its own, bound to the placeholder. */
static int adopt(int fd)
{
        struct sockaddr_in address = loopback();
        int own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert(own >= 0);
        listen_adopt(fd, &stats);
        assert(bind(own, (struct sockaddr *)&address, sizeof address) == 0);
        return own;
}

static int client_new(int listener)
{
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
        assert(connect(fd, (struct sockaddr *)&address, length) == 0);
        return fd;
}

static int take(int listener)
{
        return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static bool is_closed(int client)
{
        struct pollfd pollfd = { .fd = client, .events = POLLIN };
        char byte;

        return poll(&pollfd, 1, 5000) == 1 && recv(client, &byte, 1, 0) <= 0;
}

static void test_connections(int listener)
{
        int a, b, client_a = client_new(listener), client_b = client_new(listener);

        assert((a = take(listener)) >= 0 && (b = take(listener)) >= 0);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(listen_connections() == 2);
        assert(stats.connections == 2 && stats.counters.accepted == 2);
        (void)close(a);
        assert(listen_connections() == 1);
        assert(is_closed(client_a));
        (void)close(b);
        (void)close(client_a);
        (void)close(client_b);
        assert(listen_connections() == 0);
}

/* The core shuts a listener down before it closes it; other processes go on with theirs. */
static void test_shutdown(int shared)
{
        int listener = adopt(dup(shared)), client, connection;

        assert(shutdown(listener, SHUT_RDWR) == 0);
        (void)close(listener);
        client = client_new(shared);
        connection = take(shared);
        assert(connection >= 0);
        assert(shutdown(connection, SHUT_RDWR) == 0); /* of others it works */
        assert(is_closed(client));
        (void)close(connection);
        (void)close(client);
}

/* No descriptor is left: the client is sent away, and the listener lives. */
static void test_full(int listener)
{
        int client = client_new(listener), other = client_new(listener), connection;
        int unused = dup(listener);
        struct rlimit saved, full;

        (void)close(unused);
        assert(getrlimit(RLIMIT_NOFILE, &saved) == 0);
        full = saved;
        full.rlim_cur = (rlim_t)unused; /* all below are in use */
        assert(setrlimit(RLIMIT_NOFILE, &full) == 0);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(setrlimit(RLIMIT_NOFILE, &saved) == 0);
        assert(is_closed(client) && is_closed(other));
        (void)close(client);
        (void)close(other);

        client = client_new(listener);
        assert((connection = take(listener)) >= 0);
        (void)close(connection);
        (void)close(client);
}

/* Whatever accept4() says, the core must not take it for the end of the listener. */
static void test_any_error(int listener)
{
        int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int saved = dup(listener);

        assert(dup2(other, listener) == listener); /* not a listening socket: EINVAL */
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(dup2(saved, listener) == listener);
        (void)close(saved);
        (void)close(other);
}

/* A paused listener leaves its connections to whoever else has the socket. Not to be undone. */
static void test_pause(int listener, int shared)
{
        int client, connection;

        listen_pause();
        client = client_new(shared);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert((connection = take(shared)) >= 0);
        (void)close(connection);
        (void)close(client);
}

int main(void)
{
        int shared = listener_new(), listener = adopt(dup(shared));

        test_connections(listener);
        test_shutdown(shared);
        test_full(listener);
        test_any_error(listener);
        test_pause(listener, shared);
        assert(listen_connections() == 0);
        (void)close(listener);
        (void)close(shared);
        return 0;
}

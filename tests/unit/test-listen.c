/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/listen.h"
#include "serve/listener.h"
#include "serve/peers.h"
#include "shared/balance.h"
#include "shared/stats.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/network.h"

static const struct conf_port port = {
        .listen = "127.0.0.1:0",
        .max_connections = 3,
        .max_connections_per_address = 2,
};

/* rpc/listen.c behind the functions of libc of rpc/interpose.c, called as gRPC core calls them. */

static struct sockaddr_in loopback(void)
{
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

/* As the main process makes it. */
static int make_listener(void)
{
        struct sockaddr_in address = loopback();
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert(fd >= 0);
        assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
        assert(listen(fd, 64) == 0);
        return fd;
}

static struct stats_port stats;

/* As the core does: a socket of its own, bound to the placeholder. */
static int adopt_as(int fd, const struct conf_port *conf)
{
        struct sockaddr_in address = loopback();
        int own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert(own >= 0);
        listen_adopt(fd, conf, &stats);
        assert(bind(own, (struct sockaddr *)&address, sizeof address) == 0);
        return own;
}

static int adopt(int fd)
{
        return adopt_as(fd, &port);
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

/* As this worker and as another see it. */
static struct balance *own, *sibling;

static void begin_sharing(void)
{
        struct balance *shared = NULL;

        assert(balance_new(&shared, 2) == 0);
        assert(balance_open(&own, balance_fd(shared), 0) == 0);
        assert(balance_open(&sibling, balance_fd(shared), 1) == 0);
        (void)balance_free(shared);
        peers_share(own);
        balance_join(own);
}

static void test_connections(int listener)
{
        int a, b, client_a = client_new(listener), client_b = client_new(listener);

        assert((a = take(listener)) >= 0 && (b = take(listener)) >= 0);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(peers_count() == 2);
        assert(stats.connections == 2 && stats.counters.accepted == 2);
        (void)close(a);
        assert(peers_count() == 1);
        assert(is_closed(client_a));
        (void)close(b);
        (void)close(client_a);
        (void)close(client_b);
        assert(peers_count() == 0);
}

/* Who left while nobody had come to the connection, whatever is still to be read of it. */
static void test_abandoned(int listener)
{
        uint64_t before = stats.counters.accepted;
        int gone = client_new(listener), reset = client_new(listener), stays;
        int connection;

        assert(send(gone, "PRI", 3, 0) == 3);
        assert(setsockopt(reset, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                          sizeof(struct linger)) == 0);
        (void)close(gone);
        (void)close(reset);
        stays = client_new(listener);
        assert((connection = take(listener)) >= 0);
        assert(send(stays, "x", 1, 0) == 1);
        assert(recv(connection, &(char){ 0 }, 1, 0) == 1);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(peers_count() == 1 && stats.counters.accepted == before + 1);
        (void)close(connection);
        (void)close(stays);
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
        assert(!balance_is_ahead(sibling, UINT32_MAX)); /* nobody leaves us any now */
        assert(is_closed(client) && is_closed(other));
        (void)close(client);
        (void)close(other);

        client = client_new(listener);
        assert((connection = take(listener)) >= 0);
        assert(balance_is_ahead(sibling, 2));
        (void)close(connection);
        (void)close(client);
}

/* Whatever accept4() says, the core must not take it for the end of the listener, nor must the
 * connection be forgotten: the core hears of it again. */
static void test_any_error(int shared)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };
        int listener = adopt(dup(shared)), epoll = epoll_create1(EPOLL_CLOEXEC);
        int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int saved = dup(listener), client, connection;

        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
        client = client_new(shared);
        assert(epoll_wait(epoll, &event, 1, 5000) == 1);
        assert(dup2(other, listener) == listener); /* not a listening socket: EINVAL */
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(dup2(saved, listener) == listener);
        assert(epoll_wait(epoll, &event, 1, 0) == 0);
        listeners_maintain();
        assert(epoll_wait(epoll, &event, 1, 5000) == 1);
        assert((connection = take(listener)) >= 0);
        listeners_maintain();
        assert(epoll_wait(epoll, &event, 1, 0) == 0);
        (void)close(connection);
        (void)close(client);
        (void)close(listener);
        (void)close(epoll);
        (void)close(saved);
        (void)close(other);
}

static void say(int client, const char *text)
{
        assert(send(client, text, strlen(text), 0) == (ssize_t)strlen(text));
}

/* A client comes with the address that its proxy names, once the header is whole. */
static void test_proxied(void)
{
        struct network networks[1];
        const struct conf_port conf = { .listen = "proxied",
                                        .max_connections = 3,
                                        .max_connections_per_address = 2,
                                        .handshake = NSEC_PER_SEC,
                                        .proxy_protocol = { networks, 1 } };
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };
        int listener, client, wrong, connection, epoll = epoll_create1(EPOLL_CLOEXEC);
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        char byte;

        assert(!network_parse(networks, "127.0.0.0/8"));
        listener = adopt_as(make_listener(), &conf);
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
        client = client_new(listener);
        wrong = client_new(listener);
        say(client, "PROXY TCP4 192.0.2.7 192.0.2.1 ");
        say(wrong, "GET / HTTP/1.1");
        assert(take(listener) < 0 && errno == EAGAIN && peers_count() <= 2);
        while (epoll_wait(epoll, &event, 1, 20) == 1)
                assert(take(listener) < 0);
        assert(is_closed(wrong) && peers_count() == 1);
        say(client, "41234 443\r\nx");
        assert(epoll_wait(epoll, &event, 1, 5000) == 1);
        connection = accept4(listener, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
        assert(connection >= 0 && peers_count() == 1);
        assert(address.sin_addr.s_addr == htonl(0xc0000207) && ntohs(address.sin_port) == 41234);
        assert(recv(connection, &byte, 1, 0) == 1 && byte == 'x');
        (void)close(connection);
        (void)close(client);
        (void)close(wrong);
        client = client_new(listener);
        assert(take(listener) < 0 && peers_count() == 1);
        (void)close(listener); /* with one that waits */
        assert(is_closed(client) && peers_count() == 0);
        (void)close(client);
        (void)close(epoll);
}

/* On a stop those that wait are accepted before the socket is closed. */
static void test_leave(void)
{
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        int made = make_listener(), listener = adopt(made), client = client_new(listener),
            connection;
        int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
        assert(!listeners_leave(false));
        assert((connection = take(listener)) >= 0);
        assert(listeners_leave(false));
        assert(connect(late, (struct sockaddr *)&address, length) < 0 && errno == ECONNREFUSED);
        assert(take(listener) < 0 && errno == EAGAIN);
        (void)close(late);
        (void)close(connection);
        (void)close(client);
        (void)close(listener);
}

/* It leaves its connections to whoever else has the socket. Not to be undone. */
static void test_leave_shared(int shared)
{
        int listener = adopt(dup(shared)), client, connection;

        client = client_new(shared);
        assert(listeners_leave(true));
        assert(take(listener) < 0 && errno == EAGAIN);
        assert((connection = take(shared)) >= 0);
        (void)close(connection);
        (void)close(client);
        (void)close(listener);
}

/* Above the limits a client is sent away, and those that go make room. */
static void test_limits(int listener)
{
        int a = client_new(listener), b = client_new(listener), c = client_new(listener);
        int connection_a = take(listener), connection_b = take(listener), connection_c;

        assert(connection_a >= 0 && connection_b >= 0 && peers_count() == 2);
        assert(take(listener) < 0 && errno == EAGAIN);
        assert(is_closed(c) && peers_count() == 2);
        (void)close(c);
        (void)close(connection_a);
        c = client_new(listener);
        assert((connection_c = take(listener)) >= 0);
        (void)close(connection_b);
        (void)close(connection_c);
        (void)close(a);
        (void)close(b);
        (void)close(c);
}

/* However many come, those that are connected have their turn. */
static void test_turns(int shared)
{
        static const struct conf_port many = { .listen = "many",
                                               .max_connections = 100,
                                               .max_connections_per_address = 100 };
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };
        int listener = adopt_as(dup(shared), &many), epoll = epoll_create1(EPOLL_CLOEXEC);
        int clients[40], connections[41], n = 0, turns = 0;

        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                struct sockaddr_in address;
                socklen_t length = sizeof address;

                clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                assert(getsockname(shared, (struct sockaddr *)&address, &length) == 0);
                (void)connect(clients[i], (struct sockaddr *)&address, length);
        }
        for (; n < (int)ELEMENTSOF(clients); turns++) {
                int before = n;

                assert(epoll_wait(epoll, &event, 1, 5000) == 1);
                while ((connections[n] = take(listener)) >= 0)
                        n++;
                assert(errno == EAGAIN && n - before <= 16);
        }
        assert(turns >= 3);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                (void)close(connections[i]);
                (void)close(clients[i]);
        }
        (void)close(epoll);
        (void)close(listener);
}

/* The core's wait, and what it does then. The connection, or negative: none is to be had yet. */
static int wait_and_take(int epoll, int listener)
{
        struct epoll_event event;

        assert(epoll_wait(epoll, &event, 1, 5000) == 1);
        assert(event.data.u64 == 7);
        return take(listener);
}

/* Who has more leaves a connection to who has fewer; for a moment, should that one not come. */
static void test_share(int shared)
{
        static const struct conf_port many = { .listen = "many",
                                               .max_connections = 100,
                                               .max_connections_per_address = 100 };
        struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 7 };
        int listener = adopt_as(dup(shared), &many), epoll = epoll_create1(EPOLL_CLOEXEC);
        int clients[4], connections[4];
        uint64_t start;

        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
        for (int i = 0; i < 4; i++)
                clients[i] = client_new(shared);
        assert((connections[0] = wait_and_take(epoll, listener)) >= 0);
        assert((connections[1] = take(listener)) >= 0); /* nobody else serves */
        balance_join(sibling);
        balance_count(sibling, 2);
        assert((connections[2] = take(listener)) >= 0);
        start = clock_now();
        assert(take(listener) < 0 && errno == EAGAIN);
        while ((connections[3] = wait_and_take(epoll, listener)) < 0)
                assert(errno == EAGAIN);
        assert(clock_now() - start >= 4 * NSEC_PER_MSEC && clock_now() - start < 10 * NSEC_PER_SEC);

        /* The sibling comes. */
        (void)close(clients[3]);
        (void)close(connections[3]);
        clients[3] = client_new(shared);
        assert(wait_and_take(epoll, listener) < 0 && errno == EAGAIN);
        assert((connections[3] = take(shared)) >= 0);
        balance_count(sibling, 3);
        assert(wait_and_take(epoll, listener) < 0 && errno == EAGAIN);
        assert(epoll_wait(epoll, &event, 1, 20) == 0); /* nothing more to look for */

        (void)close(listener);
        assert(epoll_wait(epoll, &event, 1, 20) == 0);
        for (int i = 0; i < 4; i++) {
                (void)close(clients[i]);
                (void)close(connections[i]);
        }
        balance_pause(sibling);
        (void)close(epoll);
}

/* As a connection is accepted. */
static struct connection *add(int fd, struct listener *listener, const struct sockaddr *address)
{
        const struct peer_key key = peers_key(listener, address);

        return peers_add(&key) ? connection_add(fd, listener, address) : NULL;
}

/* What counts as one address. */
static void test_addresses(void)
{
        static const struct conf_port one = { .listen = "one",
                                              .max_connections = 4,
                                              .max_connections_per_address = 1 };
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
        const struct sockaddr local = { .sa_family = AF_UNIX };
        const struct sockaddr *address = (const struct sockaddr *)&v6;
        struct listener a = { .conf = &one, .stats = &stats };
        struct listener b = { .conf = &port, .stats = &stats };
        int fd = FD_MAX - 10;

        assert(add(fd, &a, (const struct sockaddr *)&v4));
        assert(inet_pton(AF_INET6, "::ffff:10.0.0.1", &v6.sin6_addr) == 1);
        assert(!add(fd + 1, &a, address)); /* the same */
        assert(inet_pton(AF_INET6, "::ffff:10.0.0.2", &v6.sin6_addr) == 1);
        assert(add(fd + 1, &a, address));
        assert(add(fd + 2, &b, address)); /* another port */
        assert(inet_pton(AF_INET6, "2001:db8:0:1::1", &v6.sin6_addr) == 1);
        assert(add(fd + 3, &a, address));
        assert(inet_pton(AF_INET6, "2001:db8:0:1:ffff::1", &v6.sin6_addr) == 1);
        assert(!add(fd + 4, &a, address)); /* the same network */
        assert(add(fd + 4, &a, &local));
        assert(!add(fd + 5, &a, &local)); /* the port is full */
        assert(!add(FD_MAX, &b, &local));
        assert(connection_of(fd + 4) && !connection_of(fd + 5));
        assert(peers_count() == 5 && stats.connections == 5);
        assert(stats_get(&stats.counters.rejected[STATS_REJECTED_ADDRESS]) == 3);
        assert(stats_get(&stats.counters.rejected[STATS_REJECTED_CONNECTIONS]) == 1);
        for (int i = 0; i < 5; i++)
                connection_remove(connection_of(fd + i));
        assert(peers_count() == 0);
}

int main(void)
{
        int shared = make_listener(), listener = adopt(dup(shared));

        begin_sharing();
        test_connections(listener);
        test_abandoned(listener);
        test_limits(listener);
        test_addresses();
        test_turns(shared);
        test_shutdown(shared);
        test_share(shared);
        test_full(listener);
        test_any_error(shared);
        (void)close(listener);
        test_proxied();
        test_leave();
        test_leave_shared(shared);
        assert(peers_count() == 0);
        (void)close(shared);
        own = balance_free(own);
        sibling = balance_free(sibling);
        return 0;
}

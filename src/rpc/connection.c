/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/connection.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* Lines in the log about refusals come no more often than this: they are a stranger's to cause. */
#define LOG_INTERVAL_NS (10 * NSEC_PER_SEC)

/* One address and what it has on one port. An IPv6 peer owns its network of 64 bits as a rule, so
 * that is what counts. */
struct peer {
        struct {
                const struct listener *listener;
                unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
        } key;
        unsigned connections;
};

static _Atomic(struct connection *) table[FD_MAX]; /* zero pages until touched */
static atomic_uint n_connections;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *peers; /* of tsearch() */

static uint64_t last_line;
static unsigned unlogged;

static int compare(const void *a, const void *b)
{
        return memcmp(&((const struct peer *)a)->key, &((const struct peer *)b)->key,
                      sizeof((struct peer *)NULL)->key);
}

/* False: the peer has no address that could count. */
static bool peer_key(struct peer *peer, const struct listener *listener,
                     const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;

        memset(peer, 0, sizeof *peer);
        peer->key.listener = listener;
        if (address->sa_family == AF_INET) {
                memset(peer->key.address + 10, 0xff, 2);
                memcpy(peer->key.address + 12, &v4->sin_addr, 4);
                return true;
        }
        if (address->sa_family != AF_INET6)
                return false;
        memcpy(peer->key.address, &v6->sin6_addr,
               IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? sizeof v6->sin6_addr : 8);
        return true;
}

static void describe(const struct peer *peer, char *p, size_t size)
{
        const struct in6_addr *v6 = (const void *)peer->key.address;

        if (IN6_IS_ADDR_V4MAPPED(v6))
                (void)inet_ntop(AF_INET, &v6->s6_addr[12], p, (socklen_t)size);
        else if (inet_ntop(AF_INET6, v6, p, (socklen_t)size))
                (void)strncat(p, "/64", size - strlen(p) - 1);
}

/* --- refusals ----------------------------------------------------------------------------------
 */

static const char *reason_of(enum stats_reason why)
{
        switch (why) {
        case STATS_REJECTED_CONNECTIONS:
                return "the port has as many as limits.connections allows";
        case STATS_REJECTED_ADDRESS:
                return "its address has as many as limits.connections_per_address allows";
        case STATS_REJECTED_HEADERS:
                return "it sent headers far above limits.metadata";
        case STATS_REJECTED_RESETS:
                return "it cancelled calls faster than limits.resets allows";
        default:
                return stats_reason_to_string(why);
        }
}

/* Lock held. How many refusals had no line since the last; -1: this one has none either. */
static int take_line(void)
{
        uint64_t now = clock_now();
        int others = (int)unlogged;

        if (last_line != 0 && now - last_line < LOG_INTERVAL_NS) {
                unlogged++;
                return -1;
        }
        last_line = now;
        unlogged = 0;
        return others;
}

/* Lock held. peer: NULL, or only its key. */
static void reject(const struct listener *listener, const struct peer *peer, enum stats_reason why)
{
        char name[INET6_ADDRSTRLEN + sizeof "/64"] = "a local client", others[64] = "";
        int n;

        stats_reject(listener->stats, why);
        n = take_line();
        if (n < 0)
                return;
        if (peer)
                describe(peer, name, sizeof name);
        if (n > 0)
                (void)snprintf(others, sizeof others, "; %d more refused since the last such line",
                               n);
        log_warning("Closed a connection of %s to %s: %s%s", name, listener->conf->listen,
                    reason_of(why), others);
}

void connection_reject(const struct connection *connection, enum stats_reason why)
{
        (void)pthread_mutex_lock(&lock);
        reject(connection->listener, connection->peer, why);
        (void)pthread_mutex_unlock(&lock);
}

/* --- the table ---------------------------------------------------------------------------------
 */

/* Lock held. The peer of this key, which is new or known; NULL: out of memory. */
static struct peer *peer_get(const struct peer *key)
{
        struct peer *peer = malloc(sizeof *peer);
        struct peer **found;

        if (!peer)
                return NULL;
        *peer = *key;
        found = tsearch(peer, &peers, compare);
        if (!found || *found != peer)
                free(peer);
        return found ? *found : NULL;
}

/* Lock held. */
static void peer_put(struct peer *peer)
{
        if (--peer->connections > 0)
                return;
        (void)tdelete(peer, &peers, compare);
        free(peer);
}

/* Lock held. */
static bool count_in(struct connection *connection, const struct sockaddr *address)
{
        struct listener *listener = connection->listener;
        struct peer key, *peer = NULL;
        bool has_address = peer_key(&key, listener, address);

        if (listener->connections >= listener->conf->max_connections) {
                reject(listener, has_address ? &key : NULL, STATS_REJECTED_CONNECTIONS);
                return false;
        }
        if (has_address) {
                peer = peer_get(&key);
                if (!peer)
                        return false;
                if (peer->connections >= listener->conf->max_connections_per_address) {
                        reject(listener, peer, STATS_REJECTED_ADDRESS);
                        return false;
                }
                peer->connections++;
        }
        connection->peer = peer;
        listener->connections++;
        return true;
}

bool connection_add(int fd, struct listener *listener, const struct sockaddr *address)
{
        _cleanup_free_ struct connection *connection = calloc(1, sizeof *connection);
        bool taken;

        if (!connection || fd >= FD_MAX)
                return false;
        connection->listener = listener;
        connection->epoll = -1;
        (void)pthread_mutex_lock(&lock);
        taken = count_in(connection, address);
        (void)pthread_mutex_unlock(&lock);
        if (!taken)
                return false;
        (void)atomic_fetch_add(&n_connections, 1);
        (void)atomic_fetch_add(&listener->stats->connections, 1);
        stats_count_shared(&listener->stats->counters.accepted);
        atomic_store(&table[fd], TAKE_PTR(connection));
        return true;
}

void connection_remove(int fd)
{
        struct connection *connection = atomic_exchange(&table[fd], NULL);

        (void)pthread_mutex_lock(&lock);
        connection->listener->connections--;
        if (connection->peer)
                peer_put(connection->peer);
        (void)pthread_mutex_unlock(&lock);
        (void)atomic_fetch_sub(&n_connections, 1);
        (void)atomic_fetch_sub(&connection->listener->stats->connections, 1);
        free(connection);
}

struct connection *connection_of(int fd)
{
        return fd >= 0 && fd < FD_MAX ? atomic_load_explicit(&table[fd], memory_order_acquire)
                                      : NULL;
}

unsigned connection_count(void)
{
        return atomic_load(&n_connections);
}

/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/connection.h"
#include "shared/balance.h"
#include "util/cleanup.h"

/* An address that has connections. */
struct peer {
        struct peer_key key; /* first: what compare() looks at */
        unsigned connections;
};

static _Atomic(struct connection *) table[FD_MAX]; /* zero pages until touched */
static atomic_uint n_connections;                  /* written under the lock */
static struct balance *shared;                     /* NULL: not yet */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *peers; /* of tsearch() */

static int compare(const void *a, const void *b)
{
        return memcmp(a, b, sizeof(struct peer_key));
}

/* An IPv6 peer owns its network of 64 bits as a rule, so that is what counts. */
static struct peer_key peer_key(struct listener *listener, const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;
        struct peer_key key = { .listener = listener };

        if (address->sa_family == AF_INET) {
                memset(key.address + 10, 0xff, 2);
                memcpy(key.address + 12, &v4->sin_addr, 4);
        } else if (address->sa_family == AF_INET6) {
                memcpy(key.address, &v6->sin6_addr,
                       IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? sizeof v6->sin6_addr : 8);
        }
        return key;
}

static bool has_address(const struct peer_key *key)
{
        static const unsigned char none[sizeof key->address];

        return memcmp(key->address, none, sizeof none) != 0;
}

void connection_share(struct balance *balance)
{
        shared = balance;
}

void connection_leave(void)
{
        if (shared)
                balance_leave(shared);
}

bool connection_is_ahead(void)
{
        return shared && balance_is_ahead(shared, connection_count());
}

void connection_refuse(void)
{
        (void)pthread_mutex_lock(&lock);
        if (shared)
                balance_count(shared, UINT32_MAX);
        (void)pthread_mutex_unlock(&lock);
}

/* Lock held. */
static void set_count(unsigned n)
{
        atomic_store(&n_connections, n);
        if (shared)
                balance_count(shared, n);
}

/* Lock held. The peer of this key, new or known; NULL: out of memory. */
static struct peer *peer_get(const struct peer_key *key)
{
        struct peer *peer = calloc(1, sizeof *peer);
        struct peer **found;

        if (!peer)
                return NULL;
        peer->key = *key;
        found = tsearch(peer, &peers, compare);
        if (!found || *found != peer)
                free(peer);
        return found ? *found : NULL;
}

/* Lock held. */
static void peer_leave(const struct peer_key *key)
{
        struct peer *peer = *(struct peer **)tfind(key, &peers, compare);

        if (--peer->connections > 0)
                return;
        (void)tdelete(key, &peers, compare);
        free(peer);
}

/* Lock held. False: out of memory, or *ret_why says why not. */
static bool count_in(const struct peer_key *key, enum stats_reason *ret_why)
{
        struct listener *listener = key->listener;
        struct peer *peer;

        *ret_why = STATS_REJECTED_CONNECTIONS;
        if (listener->connections >= listener->conf->max_connections)
                return false;
        *ret_why = STATS_REJECTED_ADDRESS;
        if (has_address(key)) {
                peer = peer_get(key);
                if (!peer || peer->connections >= listener->conf->max_connections_per_address)
                        return false;
                peer->connections++;
        }
        listener->connections++;
        set_count(connection_count() + 1);
        return true;
}

bool connection_add(int fd, struct listener *listener, const struct sockaddr *address)
{
        _cleanup_free_ struct connection *connection = calloc(1, sizeof *connection);
        const struct peer_key key = peer_key(listener, address);
        enum stats_reason why;
        bool taken;

        if (!connection || fd >= FD_MAX) {
                inspect_reject(&key, STATS_REJECTED_DESCRIPTORS);
                return false;
        }
        (void)pthread_mutex_lock(&lock);
        taken = count_in(&key, &why);
        (void)pthread_mutex_unlock(&lock);
        if (!taken) {
                inspect_reject(&key, why);
                return false;
        }
        connection->inspect.peer = key;
        connection->epoll = -1;
        (void)atomic_fetch_add(&listener->stats->connections, 1);
        stats_count_shared(&listener->stats->counters.accepted);
        atomic_store(&table[fd], TAKE_PTR(connection));
        return true;
}

void connection_remove(int fd)
{
        struct connection *connection = atomic_exchange(&table[fd], NULL);
        const struct peer_key *key = &connection->inspect.peer;

        (void)pthread_mutex_lock(&lock);
        key->listener->connections--;
        if (has_address(key))
                peer_leave(key);
        set_count(connection_count() - 1);
        (void)pthread_mutex_unlock(&lock);
        (void)atomic_fetch_sub(&key->listener->stats->connections, 1);
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

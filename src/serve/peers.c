/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/proxies.h"
#include "serve/listener.h"
#include "serve/peers.h"
#include "shared/balance.h"
#include "util/line-limit.h"
#include "util/log.h"
#include "util/network.h"

/* An address that has connections. */
struct peer {
        struct peer_key key; /* first: what compare() looks at */
        unsigned connections;
};

static atomic_uint n_connections; /* written under the lock */
static struct balance *shared;    /* NULL: peers_share() has not been called */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *peers; /* of tsearch() */

/* --- refusals ----------------------------------------------------------------------------------
 */

void peers_describe(const struct peer_key *key, char ret[static PEERS_NAME_MAX])
{
        const struct in6_addr *v6 = (const void *)key->address;

        if (IN6_IS_ADDR_UNSPECIFIED(v6))
                (void)snprintf(ret, PEERS_NAME_MAX, "a local client");
        else if (IN6_IS_ADDR_V4MAPPED(v6))
                (void)inet_ntop(AF_INET, &v6->s6_addr[12], ret, PEERS_NAME_MAX);
        else if (inet_ntop(AF_INET6, v6, ret, PEERS_NAME_MAX))
                (void)strncat(ret, "/64", PEERS_NAME_MAX - strlen(ret) - 1);
}

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
        case STATS_REJECTED_EARLY:
                return "it began more than 100 calls before acknowledging SETTINGS";
        case STATS_REJECTED_MESSAGE:
                return "it sent a request that begins like no gRPC message";
        case STATS_REJECTED_UNFINISHED:
                return "its unfinished requests are larger than limits.unfinished allows";
        case STATS_REJECTED_SLOW:
                return "a request did not end within limits.request_time";
        case STATS_REJECTED_STALLED:
                return "it does not read its answer: limits.stall";
        case STATS_REJECTED_PROXY:
                return "it did not begin with a PROXY header: proxy_protocol";
        case STATS_REJECTED_HANDSHAKE:
                return "it was not ready within limits.handshake";
        case STATS_REJECTED_TLS:
                return "TLS could not be established";
        case STATS_REJECTED_PROTOCOL:
                return "what it sent is no valid HTTP/2";
        case STATS_REJECTED_PINGS:
                return "it sent PINGs faster than limits.keepalive allows";
        case STATS_REJECTED_DESCRIPTORS:
                return "the worker has no free descriptor";
        case STATS_REJECTED_MEMORY:
                return "unfinished requests use up 'memory', and it has the most of them";
        default:
                return stats_reason_to_string(why);
        }
}

void peers_reject(const struct peer_key *key, enum stats_reason why)
{
        /* Any stranger can cause these lines. */
        static struct line_limit limits[] = { [0 ... STATS_REASONS - 1] = LINE_LIMIT_INIT };
        char name[PEERS_NAME_MAX], others[80] = "";
        int n;

        stats_reject(key->listener->stats, why);
        n = line_limit_take(&limits[why]);
        if (n < 0)
                return;
        peers_describe(key, name);
        if (n > 0)
                (void)snprintf(others, sizeof others,
                               "; %d more were closed for that since the last such line", n);
        log_warning("Closed a connection of %s to %s: %s%s", name, key->listener->conf->listen,
                    reason_of(why), others);
}

/* --- counting ----------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
        const struct peer_key *x = a, *y = b;

        if (x->listener != y->listener)
                return x->listener < y->listener ? -1 : 1;
        return memcmp(x->address, y->address, sizeof x->address);
}

/* An IPv6 peer usually owns its network of 64 bits, so that is what counts. */
struct peer_key peers_key(struct listener *listener, const struct sockaddr *address)
{
        unsigned char ip[IP_BYTES];
        bool has_ip = ip_of_socket(address, ip);
        struct peer_key key = {
                .listener = listener,
                .is_proxy = proxies_have(&listener->conf->forwarded, has_ip ? ip : NULL),
        };

        if (has_ip)
                memcpy(key.address, ip, ip_is_v4(ip) ? sizeof ip : sizeof ip / 2);
        return key;
}

static bool has_address(const struct peer_key *key)
{
        static const unsigned char none[sizeof key->address];

        return memcmp(key->address, none, sizeof none) != 0 && !key->is_proxy;
}

void peers_share(struct balance *balance)
{
        shared = balance;
}

void peers_pause(void)
{
        if (shared)
                balance_pause(shared);
}

bool peers_are_ahead(void)
{
        return shared && balance_is_ahead(shared, peers_count());
}

void peers_refuse(void)
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

/* Lock held. The peer with this key, made if it is new; NULL: out of memory. */
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
static void peer_release(const struct peer_key *key)
{
        struct peer *peer = *(struct peer **)tfind(key, &peers, compare);

        if (--peer->connections > 0)
                return;
        (void)tdelete(key, &peers, compare);
        free(peer);
}

/* Lock held. False: the address has too many connections, or there is no memory. */
static bool count_address(const struct peer_key *key)
{
        struct peer *peer;

        if (!has_address(key))
                return true;
        peer = peer_get(key);
        if (!peer || peer->connections >= key->listener->conf->max_connections_per_address)
                return false;
        peer->connections++;
        return true;
}

/* Lock held. False: a limit has been reached, or there is no memory; *ret_why is the reason. */
static bool count_in(const struct peer_key *key, enum stats_reason *ret_why)
{
        struct listener *listener = key->listener;

        *ret_why = STATS_REJECTED_CONNECTIONS;
        if (listener->connections >= listener->conf->max_connections)
                return false;
        *ret_why = STATS_REJECTED_ADDRESS;
        if (!count_address(key))
                return false;
        listener->connections++;
        set_count(peers_count() + 1);
        return true;
}

unsigned peers_count(void)
{
        return atomic_load(&n_connections);
}

bool peers_add(const struct peer_key *key)
{
        enum stats_reason why;
        bool counted;

        (void)pthread_mutex_lock(&lock);
        counted = count_in(key, &why);
        (void)pthread_mutex_unlock(&lock);
        if (!counted) {
                peers_reject(key, why);
                return false;
        }
        (void)atomic_fetch_add(&key->listener->stats->connections, 1);
        stats_count_shared(&key->listener->stats->counters.accepted);
        return true;
}

void peers_remove(const struct peer_key *key)
{
        (void)pthread_mutex_lock(&lock);
        key->listener->connections--;
        if (has_address(key))
                peer_release(key);
        set_count(peers_count() - 1);
        (void)pthread_mutex_unlock(&lock);
        (void)atomic_fetch_sub(&key->listener->stats->connections, 1);
}

bool peers_name(const struct peer_key *key)
{
        const struct peer_key nobody = { .listener = key->listener };
        bool counted;

        (void)pthread_mutex_lock(&lock);
        counted = count_address(key);
        (void)pthread_mutex_unlock(&lock);
        if (counted)
                return true;
        peers_reject(key, STATS_REJECTED_ADDRESS);
        peers_remove(&nobody);
        return false;
}

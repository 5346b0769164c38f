/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "rpc/inspect.h"
#include "util/clock.h"
#include "util/log.h"

/* Lines in the log about refusals come no more often than this: they are a stranger's to cause. */
#define LOG_INTERVAL_NS (10 * NSEC_PER_SEC)

/* A header block takes no more bytes on the wire than the metadata in it, unless it is made to. */
#define BLOCK_FACTOR 2

static uint64_t worker_limit; /* of unfinished_total(); 0: none */
static void (*shed)(void);

/* --- refusals ----------------------------------------------------------------------------------
 */

static void describe(const struct peer_key *peer, char *p, size_t size)
{
        const struct in6_addr *v6 = (const void *)peer->address;

        if (IN6_IS_ADDR_UNSPECIFIED(v6))
                (void)snprintf(p, size, "a local client");
        else if (IN6_IS_ADDR_V4MAPPED(v6))
                (void)inet_ntop(AF_INET, &v6->s6_addr[12], p, (socklen_t)size);
        else if (inet_ntop(AF_INET6, v6, p, (socklen_t)size))
                (void)strncat(p, "/64", size - strlen(p) - 1);
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
                return "it began more than 100 calls before it acknowledged the settings";
        case STATS_REJECTED_MESSAGE:
                return "it sent a request that begins like no gRPC message";
        case STATS_REJECTED_UNFINISHED:
                return "its unfinished requests are larger than limits.unfinished allows";
        case STATS_REJECTED_SLOW:
                return "a request did not end within limits.request_time";
        case STATS_REJECTED_MEMORY:
                return "unfinished requests use up 'memory', and it has the most of them";
        default:
                return stats_reason_to_string(why);
        }
}

/* How many refusals have had no line since the last; -1: nor has this one. */
static int take_line(void)
{
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static uint64_t last;
        static int unlogged;
        uint64_t now = clock_now();
        int n = -1;

        (void)pthread_mutex_lock(&lock);
        if (last == 0 || now - last >= LOG_INTERVAL_NS) {
                n = unlogged;
                last = now;
                unlogged = 0;
        } else {
                unlogged++;
        }
        (void)pthread_mutex_unlock(&lock);
        return n;
}

void inspect_reject(const struct peer_key *peer, enum stats_reason why)
{
        char name[INET6_ADDRSTRLEN + sizeof "/64"], others[64] = "";
        int n;

        stats_reject(peer->listener->stats, why);
        n = take_line();
        if (n < 0)
                return;
        describe(peer, name, sizeof name);
        if (n > 0)
                (void)snprintf(others, sizeof others,
                               "; %d more were closed since the last such line", n);
        log_warning("Closed a connection of %s to %s: %s%s", name, peer->listener->conf->listen,
                    reason_of(why), others);
}

/* --- what is sent ------------------------------------------------------------------------------
 */

static bool resets_allowed(struct inspect *inspect, unsigned resets)
{
        uint64_t second = clock_now() / NSEC_PER_SEC;

        if (inspect->second != second) {
                inspect->second = second;
                inspect->resets = 0;
        }
        inspect->resets += resets;
        return inspect->resets <= inspect->peer.listener->conf->max_resets;
}

/* A single request that is large enough to be refused by the core must come as far as that; and a
 * client that does not know the settings yet may begin more calls than they allow. */
static struct frames_limits limits_of(const struct conf_port *conf)
{
        const uint64_t one = (uint64_t)conf->max_request + UNFINISHED_CALL;

        return (struct frames_limits){
                .block = BLOCK_FACTOR * (uint64_t)conf->max_metadata,
                .bytes = (uint64_t)conf->max_unfinished > one ? (uint64_t)conf->max_unfinished
                                                              : one,
                .requests = conf->max_streams > FRAMES_EARLY_MAX ? (uint32_t)conf->max_streams
                                                                 : FRAMES_EARLY_MAX,
        };
}

void inspect_begin(struct inspect *inspect, const struct peer_key *peer)
{
        *inspect = (struct inspect){ .peer = *peer, .limits = limits_of(peer->listener->conf) };
}

void inspect_limit(uint64_t bytes, void (*function)(void))
{
        worker_limit = bytes;
        shed = function;
}

bool inspect_bytes(struct inspect *inspect, const void *bytes, size_t length)
{
        static const enum stats_reason reasons[] = {
                [FRAMES_BLOCK] = STATS_REJECTED_HEADERS,
                [FRAMES_EARLY] = STATS_REJECTED_EARLY,
                [FRAMES_MESSAGE] = STATS_REJECTED_MESSAGE,
                [FRAMES_UNFINISHED] = STATS_REJECTED_UNFINISHED,
        };
        enum frames_verdict verdict;
        unsigned resets = 0;

        verdict = frames_pass(&inspect->frames, bytes, length, &inspect->limits, &resets);
        if (verdict != FRAMES_GOOD) {
                inspect_reject(&inspect->peer, reasons[verdict]);
                return false;
        }
        if (resets > 0 && !resets_allowed(inspect, resets)) {
                inspect_reject(&inspect->peer, STATS_REJECTED_RESETS);
                return false;
        }
        if (worker_limit > 0 && unfinished_total() > worker_limit)
                shed();
        return true;
}

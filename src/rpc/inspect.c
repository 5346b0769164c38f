/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "rpc/inspect.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

/* A header block is usually no larger on the wire than the metadata in it. Twice as large is
 * allowed. */
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
                return "it began more than 100 calls before acknowledging SETTINGS";
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

void inspect_reject(const struct peer_key *peer, enum stats_reason why)
{
        static struct line_limit limit = LINE_LIMIT_INIT; /* any stranger can cause these lines */
        char name[INET6_ADDRSTRLEN + sizeof "/64"], others[64] = "";
        int n;

        stats_reject(peer->listener->stats, why);
        n = line_limit_take(&limit);
        if (n < 0)
                return;
        describe(peer, name, sizeof name);
        if (n > 0)
                (void)snprintf(others, sizeof others,
                               "; %d more were closed since the last such line", n);
        log_warning("Closed a connection of %s to %s: %s%s", name, peer->listener->conf->listen,
                    reason_of(why), others);
}

/* --- checks ------------------------------------------------------------------------------
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

/* At least: one request so large that the core refuses it with a status; and as many calls as a
 * client may begin that does not know the settings yet. */
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
        *inspect = (struct inspect){ .peer = *peer };
        if (peer->listener)
                inspect->limits = limits_of(peer->listener->conf);
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

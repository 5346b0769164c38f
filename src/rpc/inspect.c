/* SPDX-License-Identifier: MIT */
#include "rpc/inspect.h"
#include "serve/listener.h"
#include "util/clock.h"

/* A header block is usually no larger on the wire than the metadata in it. Twice as large is
 * allowed. */
#define BLOCK_FACTOR 2

static uint64_t worker_limit; /* of unfinished_total(); 0: none */
static void (*shed)(void);

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
                peers_reject(&inspect->peer, reasons[verdict]);
                return false;
        }
        if (resets > 0 && !resets_allowed(inspect, resets)) {
                peers_reject(&inspect->peer, STATS_REJECTED_RESETS);
                return false;
        }
        if (worker_limit > 0 && unfinished_total() > worker_limit)
                shed();
        return true;
}

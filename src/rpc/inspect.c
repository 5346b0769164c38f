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

/* As the core counts. */
#define STRIKES_MAX 2

/* Whether the core has ended every stream that the client has begun. Those that either has reset
 * are not known to have ended. */
static bool is_without_call(const struct inspect *inspect)
{
        return atomic_load_explicit(&inspect->sent.ended, memory_order_relaxed) >=
               inspect->frames.streams;
}

/*
 * The client has sent PINGs. The core has one limit for all, which is that of a client with a call:
 * port.c. Here is the one for a client without. As for the core, a PING is free that follows
 * something that was sent: clients measure by it how fast the connection is.
 */
static bool pings_allowed(struct inspect *inspect, uint64_t pings)
{
        uint64_t now = clock_now(), replies;
        const uint64_t least = (uint64_t)inspect->peer.listener->conf->client_ping_interval;

        replies = atomic_load_explicit(&inspect->sent.replies, memory_order_relaxed);
        if (replies != inspect->replies)
                inspect->strikes = 0;
        inspect->replies = replies;
        if (is_without_call(inspect))
                inspect->strikes += (unsigned)(pings - 1) +
                                    (inspect->pinged > 0 && now - inspect->pinged < least);
        inspect->pinged = now;
        return inspect->strikes <= STRIKES_MAX || least == 0;
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

static void note_stage(struct inspect *inspect)
{
        const struct frames *frames = &inspect->frames;
        enum inspect_stage stage = frames->greeted  ? INSPECT_GREETED
                                   : frames->opaque ? INSPECT_OPAQUE
                                                    : INSPECT_BEGUN;

        atomic_store(&inspect->stage, (unsigned char)stage);
}

bool inspect_bytes(struct inspect *inspect, const void *bytes, size_t length)
{
        static const enum stats_reason reasons[] = {
                [FRAMES_BLOCK] = STATS_REJECTED_HEADERS,
                [FRAMES_EARLY] = STATS_REJECTED_EARLY,
                [FRAMES_MESSAGE] = STATS_REJECTED_MESSAGE,
                [FRAMES_UNFINISHED] = STATS_REJECTED_UNFINISHED,
        };
        const uint64_t pings = inspect->frames.pings;
        enum frames_verdict verdict;
        unsigned resets = 0;

        verdict = frames_pass(&inspect->frames, bytes, length, &inspect->limits, &resets);
        if (atomic_load_explicit(&inspect->stage, memory_order_relaxed) != INSPECT_GREETED)
                note_stage(inspect);
        if (inspect->frames.leaving)
                atomic_store(&inspect->explained, true);
        if (verdict != FRAMES_GOOD) {
                peers_reject(&inspect->peer, reasons[verdict]);
                return false;
        }
        if (resets > 0 && !resets_allowed(inspect, resets)) {
                peers_reject(&inspect->peer, STATS_REJECTED_RESETS);
                return false;
        }
        if (inspect->frames.pings > pings &&
            !pings_allowed(inspect, inspect->frames.pings - pings)) {
                peers_reject(&inspect->peer, STATS_REJECTED_PINGS);
                return false;
        }
        if (worker_limit > 0 && unfinished_total() > worker_limit)
                shed();
        return true;
}

/* RFC 9113, section 7. The core says so of PINGs, "too_many_pings", and of memory, "Buffers full".
 */
#define ENHANCE_YOUR_CALM 11

static enum stats_reason reason_of(const struct frames_out *sent)
{
        if (sent->error != ENHANCE_YOUR_CALM)
                return STATS_REJECTED_PROTOCOL;
        return sent->reason == 't' ? STATS_REJECTED_PINGS : STATS_REJECTED_MEMORY;
}

void inspect_goaway(struct inspect *inspect)
{
        const struct frames_out *sent = &inspect->sent;

        /* Of a client that has not come so far, connection_note_end() says why. */
        if (sent->n_goaway < FRAMES_GOAWAY - 1 || atomic_load(&inspect->stage) != INSPECT_GREETED ||
            atomic_exchange(&inspect->explained, true))
                return;
        if (sent->error != 0)
                peers_reject(&inspect->peer, reason_of(sent));
}

/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "conf/conf.h"
#include "module/instance.h"
#include "serve/served.h"
#include "serve/stall.h"
#include "shared/stats.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

/* A client has limits.stall for each such part of a message, so that a slow one can take a large
 * message. */
#define PART ((size_t)1 << 20)

/* A call that holds a place for which others wait has this fraction of limits.stall. */
#define HURRY 10

/* The part of its bytes that calls give back when they have taken too many. */
#define ROOM 32

void stall_add(struct stalls *stalls, struct served *call)
{
        struct stall_state *stall = &call->stall;

        stall->moved_at = 0;
        stall->unread = 0;
        stall->next = stalls->calls;
        stall->link = &stalls->calls;
        if (stalls->calls)
                stalls->calls->stall.link = &stall->next;
        stalls->calls = call;
        stall->listed = true;
}

static void discount(struct served *call)
{
        (void)atomic_fetch_sub_explicit(&call->port->serve->stalls.unread, call->stall.unread,
                                        memory_order_relaxed);
        call->stall.unread = 0;
}

void stall_remove(struct served *call)
{
        struct stall_state *stall = &call->stall;

        if (!stall->listed)
                return;
        *stall->link = stall->next;
        if (stall->next)
                stall->next->stall.link = stall->link;
        stall->listed = false;
        discount(call);
}

void stall_log(struct served *call, const char *why)
{
        static struct line_limit limit = LINE_LIMIT_INIT;
        const struct instance *instance = call->base.instance;
        int n = line_limit_take(&limit);
        char others[64] = "";
        struct brick_str peer;

        if (n < 0)
                return;
        if (n > 0)
                (void)snprintf(others, sizeof others, "; %d more since the last such line", n);
        peer = call->base.transport->peer(&call->base);
        log_warning("Ended a call of %.*s (%s): %s%s", (int)peer.len, peer.ptr,
                    instance ? instance->conf->name : call->method->path, why, others);
}

/* Lock held. Whether the call can do nothing until its client has sent a message. A bidi brick that
 * does not block in call_recv() may still be working on the last message, for as long as it takes.
 */
static bool wants_message(const struct served *call)
{
        const struct call *base = &call->base;

        return base->inbox == INBOX_WANTED && !base->settled &&
               (base->method == BRICK_METHOD_INPUT_STREAMING || base->instance->blocking ||
                !call->owes_reply);
}

/* Lock held. How long the client may let the call wait. */
static uint64_t patience(const struct served *call)
{
        const struct call *base = &call->base;
        uint64_t ns = (uint64_t)call->port->conf->stall;

        if (call->writing)
                ns *= 1 + call->writing_size / PART;
        if (base->side != SIDE_UNSEEN && base->side != SIDE_DONE &&
            atomic_load(&base->instance->stats->queued) > 0)
                ns /= HURRY;
        return ns;
}

/* What the client is told if it has let the call wait for too long; NULL: it has not. */
static const char *verdict(struct served *call, uint64_t now)
{
        struct stall_state *stall = &call->stall;
        const char *why = NULL;

        (void)pthread_mutex_lock(&call->base.lock);
        if (call->port->conf->stall == 0)
                why = NULL;
        else if (call->writing)
                why = "The client does not read: limits.stall";
        else if (wants_message(call))
                why = "The client does not send: limits.stall";

        if (!why || call->expired || stall->moved_at == 0 || stall->moves_seen != call->moves) {
                stall->moves_seen = call->moves;
                stall->moved_at = why ? now : 0;
                why = NULL;
        } else if (now - stall->moved_at < patience(call)) {
                why = NULL;
        }
        (void)pthread_mutex_unlock(&call->base.lock);
        return why;
}

static void end(struct served *call, enum stats_reason reason, const char *why)
{
        stall_log(call, why);
        stats_reject(call->port->stats, reason);
        call->port->serve->expire(call, why);
}

static void end_stalled(struct stalls *stalls)
{
        struct served *call, *next;
        uint64_t now = clock_now();
        const char *why;

        for (call = stalls->calls; call; call = next) {
                next = call->stall.next;
                why = verdict(call, now);
                if (why)
                        end(call, STATS_REJECTED_STALLED, why);
        }
}

/* Whether newer calls, of which *kept counts the bytes, take nearly all that such calls may. Some
 * room is left, so that the list is not searched for each call. */
static bool is_surplus(struct served *call, size_t most, size_t *kept)
{
        bool surplus;

        call_lock(&call->base);
        surplus = call->stall.unread > 0 && *kept + call->stall.unread > most - most / ROOM;
        if (surplus)
                discount(call);
        *kept += call->stall.unread;
        call_unlock(&call->base);
        return surplus;
}

static void end_unread(struct stalls *stalls)
{
        struct served *call, *next;
        size_t kept = 0;

        for (call = stalls->calls; call; call = next) {
                next = call->stall.next;
                if (is_surplus(call, stalls->unread_max, &kept))
                        end(call, STATS_REJECTED_UNREAD,
                            "Replies that nobody reads use up 'memory'");
        }
}

static void check(struct run_item *item)
{
        struct stalls *stalls = CONTAINER_OF(item, struct stalls, check);

        atomic_store(&stalls->posted, false);
        if (atomic_load(&stalls->unread) > stalls->unread_max)
                end_unread(stalls);
        else
                end_stalled(stalls);
}

void stall_init(struct stalls *stalls, size_t unread_max)
{
        stalls->check.run = check;
        stalls->unread_max = unread_max;
}

void stall_maintain(struct stalls *stalls)
{
        if (!atomic_exchange(&stalls->posted, true))
                runner_post(&runner_polling, &stalls->check);
}

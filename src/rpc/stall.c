/* SPDX-License-Identifier: MIT */
#include "rpc/stall.h"
#include "module/instance.h"
#include "rpc/server.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* A client has limits.stall for each such part of a message, so that a slow one can take a large
 * one. */
#define PART ((size_t)1 << 20)

/* Of limits.stall, what a call has left that holds a place for which others wait. */
#define HURRY 10

void stall_add(struct rpc *rpc, struct rpc_call *call)
{
        if (call->port->conf->stall == 0)
                return;
        call->moved_at = 0;
        call->live_next = rpc->live;
        call->live_link = &rpc->live;
        if (rpc->live)
                rpc->live->live_link = &call->live_next;
        rpc->live = call;
}

void stall_remove(struct rpc *rpc, struct rpc_call *call)
{
        if (!call->live_link)
                return;
        *call->live_link = call->live_next;
        if (call->live_next)
                call->live_next->live_link = call->live_link;
        call->live_link = NULL;
}

/* Lock held. Whether the call can do nothing until its client has sent a message. A bidi brick that
 * does not wait inside for one may be at work on the last, for as long as it takes. */
static bool wants_message(const struct rpc_call *call)
{
        const struct call *base = &call->base;

        return base->inbox == INBOX_WANTED && !base->settled &&
               (base->method == BRICK_METHOD_INPUT_STREAMING || base->instance->blocking ||
                !call->owes_reply);
}

/* Lock held. How long the client may let the call wait. */
static uint64_t patience(const struct rpc_call *call)
{
        const struct call *base = &call->base;
        uint64_t ns = (uint64_t)call->port->conf->stall;

        if (call->writing && call->written)
                ns *= 1 + call->written->base.size / PART;
        if (base->side != SIDE_UNSEEN && base->side != SIDE_DONE &&
            atomic_load(&base->instance->stats->queued) > 0)
                ns /= HURRY;
        return ns;
}

/* What the client is told if it has let the call wait for too long; NULL: it has not. */
static const char *verdict(struct rpc_call *call, uint64_t now)
{
        const char *why = NULL;

        (void)pthread_mutex_lock(&call->base.lock);
        if (call->writing)
                why = "The client does not read: limits.stall";
        else if (wants_message(call))
                why = "The client does not send: limits.stall";

        if (!why || call->expired || call->moved_at == 0 || call->moves_seen != call->moves) {
                call->moves_seen = call->moves;
                call->moved_at = why ? now : 0;
                why = NULL;
        } else if (now - call->moved_at < patience(call)) {
                why = NULL;
        }
        (void)pthread_mutex_unlock(&call->base.lock);
        return why;
}

/* On the polling thread. */
static void look(struct run_item *item)
{
        struct rpc *rpc = CONTAINER_OF(item, struct rpc, stall_item);
        struct rpc_call *call, *next;
        uint64_t now = clock_now();
        const char *why;

        atomic_store(&rpc->stall_posted, false);
        for (call = rpc->live; call; call = next) {
                next = call->live_next;
                why = verdict(call, now);
                if (!why)
                        continue;
                rpc_log_idle(call, why);
                stats_reject(call->port->stats, STATS_REJECTED_STALLED);
                rpc_call_expire(call, why);
        }
}

void stall_init(struct rpc *rpc)
{
        rpc->stall_item.run = look;
}

void stall_look(struct rpc *rpc)
{
        if (!atomic_exchange(&rpc->stall_posted, true))
                runner_post(&runner_polling, &rpc->stall_item);
}

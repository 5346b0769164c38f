/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is counted of one call, and when. Only on the thread that serves the call: the counters have
 * one writer. A call that has not got as far as a brick counts for its port.
 */

#include "module/instance.h"
#include "serve/served.h"
#include "shared/stats.h"
#include "util/clock.h"

static inline void stats_received(struct served *call, size_t size)
{
        stats_count(&call->stats->received, 1);
        stats_count(&call->stats->received_bytes, size);
}

/* The call's brick is known. */
static inline void stats_begin(struct served *call)
{
        struct call *base = &call->base;

        call->stats = &base->instance->stats->counters.methods[base->method];
        stats_count(&call->stats->begun, 1);
        if (!call_has_request_stream(base))
                stats_received(call, base->request.len);
}

/* A reply has been sent. */
static inline void stats_sent(struct served *call, size_t size)
{
        uint64_t now;

        if (!call->stats)
                return; /* the error of a call without a brick */
        stats_count(&call->stats->sent, 1);
        stats_count(&call->stats->sent_bytes, size);
        if (call_is_single(&call->base))
                return;
        now = clock_now();
        if (call->last_sent == 0) {
                call->first_sent = now;
                stats_observe(&call->stats->first, now - call->base.started);
        } else {
                stats_observe(&call->stats->gap, now - call->last_sent);
        }
        call->last_sent = now;
}

static inline void stats_end(struct served *call, const struct served_end *end)
{
        enum stats_class c = end->in_band ? stats_class_of(end->code) : STATS_CLASS_GOOD;
        unsigned status = end->status < STATS_STATUSES ? end->status : STATUS_UNKNOWN;

        if (!call->stats) {
                stats_count(&call->port->stats->counters.unrouted[status], 1);
                return;
        }
        stats_count(&call->stats->ended[status][c], 1);
        stats_observe(&call->stats->duration, end->duration);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* When an RPC is over: its close event has come and none of its batches is under way. */

#include <stdbool.h>

#include "rpc/call.h"
#include "serve/dispatch.h"
#include "shared/stats.h"

/* Asks for the close event. Lock held. [any] */
void rpc_arm_close(struct rpc_call *call);

/* Releases the lock. If the RPC is over, ends it, once. [polling thread] */
static inline void rpc_unlock_and_end(struct rpc_call *call)
{
        bool over = call->closed && call->tags == 0 && !call->ended;

        if (over)
                call->ended = true;
        call_unlock(&call->served.base);
        if (!over)
                return;
        /* Only now it is known whether the client forgot the message, or gave the call up. */
        if (call->empty)
                stats_reject(call->served.port->stats,
                             call->cancelled ? STATS_REJECTED_INCOMPLETE : STATS_REJECTED_REQUEST);
        served_end(&call->served, call->cancelled);
}

/* Events. [polling thread] */
void rpc_on_close(void *owner, bool ok);

/* serve->expire() */
void rpc_expire(struct served *served, const char *why);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Ends calls whose clients stall: which do not read what has been written, or do not send the
 * message that the brick waits for. A client that moves nothing for limits.stall of its port loses
 * the call, so that a silent client cannot hold a place of a brick, or memory, for ever.
 *
 * All calls that bricks have are in a list. About once a second each of them is checked: it has
 * moved if a message has been sent or received since. So this costs a call next to nothing.
 *
 * A call whose brick has finished holds no place, but memory: until its client has read the last
 * reply. Such calls may take a part of what the worker may use. Beyond it, the oldest end at once.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/runner.h"

/* Bytes that a transport needs for a call whose brick has finished, besides its replies; measured
 * for gRPC. */
#define STALL_CALL ((size_t)12 * 1024)

struct served;

/* Of a thread that serves calls; on that thread only, except where said. */
struct stalls {
        struct served *calls;  /* the newest first */
        struct run_item check; /* queued, if `posted` */
        atomic_bool posted;
        atomic_size_t unread; /* bytes of calls whose bricks have finished [any] */
        size_t unread_max;
};

/* Of a call. */
struct stall_state {
        unsigned moves_seen;
        uint64_t moved_at; /* when its `moves` was last found to have grown */
        size_t unread;     /* bytes that stalls.unread counts for it; under base.lock */
        struct served *next;
        struct served **link;
        bool listed;
};

/* unread_max: how many bytes calls may take whose bricks have finished. */
void stall_init(struct stalls *stalls, size_t unread_max);

/* The call goes to its brick; it has ended. */
void stall_add(struct stalls *stalls, struct served *call);
void stall_remove(struct served *call);

/* Checks all calls, on the thread that serves them. About once a second, until the stop. [any] */
void stall_maintain(struct stalls *stalls);

/* The brick has finished the call, whose replies in the outbox have so many bytes. Once. The call's
 * lock is held. [any] */
static inline void stall_finished(struct stalls *stalls, struct stall_state *stall, size_t bytes)
{
        size_t before;

        if (!stall->listed)
                return;
        stall->unread = STALL_CALL + bytes;
        before = atomic_fetch_add_explicit(&stalls->unread, stall->unread, memory_order_relaxed);
        if (before + stall->unread > stalls->unread_max)
                stall_maintain(stalls);
}

/* Logs why brickd ends a call before its brick does: at most one line in ten seconds, which says
 * how many were left out. [any] */
void stall_log(struct served *call, const char *why);

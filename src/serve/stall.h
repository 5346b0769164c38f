/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Ends calls whose clients stall: which do not read what has been written, or do not send the
 * message that the brick waits for. A client that moves nothing for limits.stall of its port loses
 * the call, so that a silent client cannot hold a place of a brick, or memory, for ever.
 *
 * All calls that bricks have are in a list. About once a second each of them is checked: it has
 * moved if a message has been sent or received since. So this costs a call next to nothing.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "module/runner.h"

struct served;

/* Of a thread that serves calls; on that thread only, except where said. */
struct stalls {
        struct served *calls;
        struct run_item check; /* queued, if `posted` */
        atomic_bool posted;
};

/* Of a call. */
struct stall_state {
        unsigned moves_seen;
        uint64_t moved_at; /* when its `moves` was last found to have grown */
        struct served *next;
        struct served **link; /* NULL: not in the list */
};

void stall_init(struct stalls *stalls);

/* The call goes to its brick; it has ended. */
void stall_add(struct stalls *stalls, struct served *call);
void stall_remove(struct served *call);

/* Checks all calls, on the thread that serves them. About once a second, until the stop. [main] */
void stall_maintain(struct stalls *stalls);

/* Logs why brickd ends a call before its brick does: at most one line in ten seconds, which says
 * how many were left out. [any] */
void stall_log(struct served *call, const char *why);

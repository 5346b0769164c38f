/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The state of one worker, and what the main process wants of it, in memory that the two share.
 * Nothing is queued there, so nothing can be lost: a packet on the channel only says that it is
 * worth looking.
 *
 * A brick may write anything there at any time. So each side reads a value once, checks it, and
 * never reads back what it has written itself. Bricks are indices in the configuration's list;
 * -1: none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"
#include "util/log.h"

struct state;

/* [main process] The memory, for a worker with so many bricks: a descriptor or a negative errno. */
int state_create(size_t n_bricks);

/* Maps it. */
int state_open(struct state **ret, int fd);
struct state *state_free(struct state *state);
DEFINE_CLEANUP(struct state *, state_free);

/* --- what the worker says ----------------------------------------------------------------------
 */

enum state_brick {
        STATE_CREATING,   /* the main thread is in its create() */
        STATE_DESTROYING, /* the main thread is in its destroy() */
        STATE_STUCK,      /* it has held the polling thread for too long */
        STATE_CRASHED,    /* the thread that crashes is in it */
        STATE_BRICKS,
};

/* Any thread; async-signal-safe. */
void state_set_brick(struct state *state, enum state_brick what, ssize_t brick);

/* `calls` calls have not ended although they were cancelled: the brick holds them. */
void state_set_held(struct state *state, ssize_t brick, unsigned calls);

/* It serves; of a worker that only checks: everything is good. */
void state_set_ready(struct state *state);

/* The answer to the question of that number; what the worker has now. */
void state_answer(struct state *state, uint32_t question, unsigned connections, unsigned in_flight);

/* [main process] The same as it arrives. A brick that does not exist is none. */
ssize_t state_get_brick(const struct state *state, enum state_brick what);
ssize_t state_get_held(const struct state *state, unsigned *ret_calls);
bool state_is_ready(const struct state *state);
uint32_t state_get_answer(const struct state *state, unsigned *ret_connections,
                          unsigned *ret_in_flight);

/* --- what the main process wants ---------------------------------------------------------------
 */

enum state_order {
        STATE_RETIRE = 1 << 0, /* a newer generation serves: stop accepting, serve on until the
                                  connections have gone or their time is over */
        STATE_STOP = 1 << 1,   /* stop as SIGTERM asks, within the grace */
        STATE_CANCEL = 1 << 2, /* cancel what still runs, now */
};

/* An order is never taken back. grace: ns, of STATE_STOP. */
void state_order(struct state *state, enum state_order order, uint64_t grace);

/* Asks for an answer, which has this number. */
void state_ask(struct state *state, uint32_t question);

/* brick: -1 is the log as a whole. */
void state_set_log_level(struct state *state, ssize_t brick, enum log_level level);

/* The worker's row of shared/quota.h, set before the worker starts. */
void state_set_quota_row(struct state *state, uint32_t row);

/* [worker] The same; 0: no such level has been set. */
unsigned state_get_orders(const struct state *state);
uint64_t state_get_grace(const struct state *state);
uint32_t state_get_question(const struct state *state);
int state_get_log_level(const struct state *state, ssize_t brick);
uint32_t state_get_quota_row(const struct state *state);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The state of one worker, and the orders of the main process for it, in memory that the two share.
 * It holds current values and no queue, so nothing is lost: a packet on the channel only says that
 * something has changed.
 *
 * A brick may write anything there at any time. So each side reads a value once, checks it, and
 * never reads back what it has written itself. Bricks are indices into the configuration's list;
 * -1: none. All functions are thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"
#include "util/log.h"

struct state;

/* [main process] Creates the memory for a worker with so many bricks: a descriptor or a negative
 * errno. */
int state_create(size_t n_bricks);

/* Maps the memory. The descriptor stays the caller's. */
int state_open(struct state **ret, int fd);
struct state *state_free(struct state *state);
DEFINE_CLEANUP(struct state *, state_free);

/* --- what the worker reports -------------------------------------------------------------------
 */

enum state_brick {
        STATE_CREATING,   /* the main thread is in its create() */
        STATE_DESTROYING, /* the main thread is in its destroy() */
        STATE_STUCK,      /* it has held the polling thread for too long */
        STATE_CRASHED,    /* the thread that crashes is in it */
        STATE_BRICKS,
};

/* Async-signal-safe. */
void state_set_brick(struct state *state, enum state_brick what, ssize_t brick);

/* The brick has not ended so many calls although they were cancelled. */
void state_set_held(struct state *state, ssize_t brick, unsigned calls);

/* It serves. With --check: it has found no mistake. */
void state_set_ready(struct state *state);

/* Answers the question of that number with the worker's connections and calls in flight. */
void state_answer(struct state *state, uint32_t question, unsigned connections, unsigned in_flight);

/* [main process] The same values, checked: an index without a brick is -1. */
ssize_t state_get_brick(const struct state *state, enum state_brick what);
ssize_t state_get_held(const struct state *state, unsigned *ret_calls);
bool state_is_ready(const struct state *state);
uint32_t state_get_answer(const struct state *state, unsigned *ret_connections,
                          unsigned *ret_in_flight);

/* --- what the main process orders --------------------------------------------------------------
 */

enum state_order {
        STATE_RETIRE = 1 << 0, /* a newer generation serves: accept no connections, ask clients to
                                  reconnect, then stop */
        STATE_STOP = 1 << 1,   /* stop; running calls have the grace */
        STATE_CANCEL = 1 << 2, /* cancel the running calls now */
};

/* An order is never withdrawn. grace: ns, for STATE_STOP only. */
void state_order(struct state *state, enum state_order order, uint64_t grace);

/* Asks a question; the answer comes with its number. */
void state_ask(struct state *state, uint32_t question);

/* brick: -1 for the log as a whole. */
void state_set_log_level(struct state *state, ssize_t brick, enum log_level level);

/* The worker's row of shared/quota.h. Set it before the worker starts. */
void state_set_quota_row(struct state *state, uint32_t row);

/* Who has this key may have calls explained (brickctl explain). Set it before the worker starts. */
struct explain_key {
        uint64_t words[2];
};
void state_set_explain_key(struct state *state, const struct explain_key *key);

/* [worker] The same values. Log level 0: none has been set. */
unsigned state_get_orders(const struct state *state);
uint64_t state_get_grace(const struct state *state);
uint32_t state_get_question(const struct state *state);
int state_get_log_level(const struct state *state, ssize_t brick);
uint32_t state_get_quota_row(const struct state *state);
struct explain_key state_get_explain_key(const struct state *state);

/* The key as it stands in metadata: hexadecimal digits. */
#define EXPLAIN_KEY_LENGTH 32
void explain_key_print(const struct explain_key *key, char text[EXPLAIN_KEY_LENGTH + 1]);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Every entry into a brick's code is between entry_begin() and entry_end(), so that it is known who
 * is to blame, should the process die in it or a thread not come back from it.
 */

#include <stdint.h>

struct conf_brick;
struct instance;

/* On the stack of whoever enters. Entries nest: a brick calls a brick. */
struct entry {
        struct instance *previous;
        uint64_t
                waited; /* of a suspect: for how long the thread had waited for a processor; or 0 */
};

void entry_begin(struct entry *entry, struct instance *instance);

/*
 * For how long, in ns, if this is the polling thread; else 0. For a brick that is suspected of
 * holding it (instance_took_long()), without the time in which the machine ran others.
 */
uint64_t entry_end(struct entry *entry, struct instance *instance);

/* The brick that this thread is in; NULL: none. Async-signal-safe. */
const struct conf_brick *entry_current(void);

/*
 * Makes this thread the one that polls for all calls: a brick that holds it for over 100 ms is
 * named in the log when it comes back, and by entry_stuck() before. Of bricks that call each other
 * it is the one that took the time. One thread per process.
 */
void entry_watch_thread(void);

/* The brick that has held the watched thread for longer than `limit`, and for how long, in ns.
 * NULL: none. [any] */
const struct conf_brick *entry_stuck(uint64_t limit, uint64_t *ret_held);

/* Gives this thread a signal stack, so that a brick that overflows its own can still be named. */
void entry_guard_stack(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Every entry into a brick's code is between entry_begin() and entry_end(), so that the brick can
 * be named if the process crashes in it or the thread does not return.
 */

#include <pthread.h>
#include <stdint.h>

struct conf_brick;
struct instance;

/* On the stack of the caller. Entries may nest. */
struct entry {
        struct instance *previous;
        uint64_t waited; /* for a suspect: run_queue_wait() at the begin; else 0 */
};

void entry_begin(struct entry *entry, struct instance *instance);

/*
 * Returns for how many ns the brick has held the polling thread; 0 on any other thread. For a
 * suspect (instance_is_suspect()), the time in which the thread waited for a processor does not
 * count.
 */
uint64_t entry_end(struct entry *entry, struct instance *instance);

/* The brick that this thread is in; NULL: none. Async-signal-safe. */
const struct conf_brick *entry_current(void);

/*
 * Makes this thread the watched one, the polling thread: a brick that holds it for more than 100 ms
 * is named in the log when it returns, and by entry_stuck() before. Of nested entries, each counts
 * only its own time. One thread per process.
 */
void entry_watch_thread(void);

/* The brick that has held the watched thread for longer than `limit`, and for how long, in ns.
 * NULL: none. [any] */
const struct conf_brick *entry_stuck(uint64_t limit, uint64_t *ret_held);

/*
 * Starts a thread that will enter bricks. Its stack holds a brick whose code is deep, and is small
 * enough for thousands of such threads. Negative errno.
 */
int entry_start_thread(pthread_t *ret, void *(*run)(void *arg), void *arg);

/* Sets what is to happen when a brick ends one of brickd's threads, as pthread_exit() does: the
 * function runs on that thread while entry_current() still names the brick. What the brick had
 * locked stays locked, so it should end the process. [main, before other threads] */
void entry_on_thread_end(void (*function)(void));

/* Prepares this thread for entering bricks: gives it a signal stack, so that a brick that overflows
 * its own can still be named, and makes it call the function of entry_on_thread_end(). */
void entry_guard_thread(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The timeouts of calls that other bricks make to an instance; those from the wire are its
 * transport's. All have the same length, so that the first to begin is the first to end: a list,
 * and a thread that waits for the head of it. The thread begins with the first call. Any thread.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct call;

struct timeout {
        struct timeout *next;
        struct timeout **link; /* what points here; NULL: not in the list */
        struct call *call;
        uint64_t at; /* CLOCK_MONOTONIC ns */
};

struct timeouts {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct timeout *first;
        struct timeout **end;
        void (*over)(struct call *call);
        pthread_t thread;
        bool running;
        bool stopping;
};

/* over: what happens to a call whose time is over; on the thread, without the lock, with a
 * reference. */
void timeouts_init(struct timeouts *timeouts, void (*over)(struct call *call));

/* Joins the thread. No timeout is left. */
void timeouts_done(struct timeouts *timeouts);

/* Begins a timeout of so many ns, always as many. The call, which the caller has a reference to,
 * lives until timeout_remove(). A negative errno: it has none. */
int timeout_add(struct timeouts *timeouts, struct timeout *timeout, struct call *call, uint64_t ns);

/* Does nothing if it is over, or has never begun. */
void timeout_remove(struct timeouts *timeouts, struct timeout *timeout);

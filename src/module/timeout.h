/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The timeouts of calls that other bricks make to one instance. (The transport of a call from the
 * wire has its own.) All have the same length, so the first to begin is the first to end: a list is
 * enough, with a thread that waits for its head. The first call starts the thread. [any]
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct call;

struct timeout {
        struct timeout *next;
        struct timeout **link; /* what points to it; NULL: not in the list */
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

/* over: called on the timeouts' thread, without their lock, with a reference to a call whose time
 * is over. */
void timeouts_init(struct timeouts *timeouts, void (*over)(struct call *call));

/* Joins the thread. The list must be empty. */
void timeouts_done(struct timeouts *timeouts);

/* Begins a timeout of ns, the same for every call. The call must live until timeout_remove(). On a
 * negative errno it has no timeout. */
int timeout_add(struct timeouts *timeouts, struct timeout *timeout, struct call *call, uint64_t ns);

/* Ends a timeout. Does nothing if its time is over, or if it is all zero. */
void timeout_remove(struct timeouts *timeouts, struct timeout *timeout);

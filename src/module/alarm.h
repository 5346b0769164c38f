/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Alarms: times at which something is done for a call, which is the deadline of a call by another
 * brick, or a brick's timer. (The transport of a call from the wire has its own deadlines.) Each
 * instance has a heap of them, with a thread that waits for the first; it starts when it is first
 * needed. [any]
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct call;

/* All zeros is an alarm that is not set. Its memory lives as long as the call. */
struct alarm {
        struct alarm **link; /* what points to it; NULL: it is not set */
        struct alarm *next;  /* of the same parent, in no order */
        struct alarm *first; /* of those under it, which are all later */
        struct call *call;
        void (*ring)(struct alarm *alarm); /* on the alarms' thread, with a reference to the call */
        uint64_t at;                       /* CLOCK_MONOTONIC ns */
};

struct alarms {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct alarm *first; /* the earliest: the root of a pairing heap */
        uint64_t wakes;      /* when the thread looks again; UINT64_MAX: when it is woken */
        pthread_t thread;
        atomic_bool running;
        bool stopping;
};

void alarms_init(struct alarms *alarms);

/* Joins the thread. No alarm may be set. */
void alarms_done(struct alarms *alarms);

/* Starts the thread, if it does not run. Negative errno. */
int alarms_start(struct alarms *alarms);

/* Sets an alarm, or sets it to another time. Call alarms_start() before. */
void alarm_set(struct alarms *alarms, struct alarm *alarm, uint64_t at);

/* Does nothing if it is not set. One that rings already is not waited for. */
void alarm_clear(struct alarms *alarms, struct alarm *alarm);

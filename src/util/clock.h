/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

/* What clock_now() last gave this thread; 0: nothing yet. */
extern _Thread_local uint64_t clock_last;

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t clock_now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        clock_last = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
        return clock_last;
}

/*
 * The time as the polling thread last saw it, for free: when its wait ended, or later, when a call
 * began or ended, or a brick came back. What lies between is the core's work of microseconds.
 */
static inline uint64_t clock_recent(void)
{
        return clock_last;
}

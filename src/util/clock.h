/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

/* The last result of clock_now() in this thread; 0: not called yet. */
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
 * The last clock_now() of this thread, without a system call. The polling thread calls clock_now()
 * when its wait ends, when a call starts or ends and when a brick returns, so the result is a few
 * microseconds old.
 */
static inline uint64_t clock_recent(void)
{
        return clock_last;
}

#define CLOCK_TEXT_SIZE 32

/* Writes a time, in seconds since 1970, as "2027-01-31T18:00:00Z". False: its year is out of the
 * range of gmtime_r(), and the text is empty. */
bool clock_text(int64_t seconds, char ret[static CLOCK_TEXT_SIZE]);

/* A condition variable whose timed waits end at a time of clock_now(). */
void clock_cond_init(pthread_cond_t *cond);

/* SPDX-License-Identifier: MIT */
#include "util/clock.h"

_Thread_local uint64_t clock_last;

void clock_cond_init(pthread_cond_t *cond)
{
        pthread_condattr_t attr;

        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(cond, &attr);
        (void)pthread_condattr_destroy(&attr);
}

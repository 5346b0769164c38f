/* SPDX-License-Identifier: MIT */
#include "util/clock.h"

_Thread_local uint64_t clock_last;

bool clock_text(int64_t seconds, char ret[static CLOCK_TEXT_SIZE])
{
        time_t time = (time_t)seconds;
        struct tm tm;

        if (!gmtime_r(&time, &tm) || strftime(ret, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                ret[0] = '\0';
        return ret[0] != '\0';
}

void clock_cond_init(pthread_cond_t *cond)
{
        pthread_condattr_t attr;

        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(cond, &attr);
        (void)pthread_condattr_destroy(&attr);
}

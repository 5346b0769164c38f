/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t budget_now(void)
{
        return read_clock(CLOCK_MONOTONIC_COARSE);
}

void budget_begin(struct budget *b)
{
        b->begin = budget_now();
        b->cpu_begin = 0;
}

bool budget_is_over(struct budget *b, uint64_t now)
{
        uint64_t cpu;

        if (b->spent + (now - b->begin) <= b->limit)
                return false;
        cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
        if (b->cpu_begin == 0)
                b->cpu_begin = cpu;
        return b->cpu_spent + (cpu - b->cpu_begin) > b->limit;
}

void budget_end(struct budget *b)
{
        b->spent += budget_now() - b->begin;
        if (b->cpu_begin > 0)
                b->cpu_spent += read_clock(CLOCK_THREAD_CPUTIME_ID) - b->cpu_begin;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Limits the time that a text may take. On a busy machine the clock also runs while others run. So
 * when the limit of real time is over, the thread gets as much CPU time again. To read that costs a
 * system call, so it is not read before.
 */

#include <stdbool.h>
#include <stdint.h>

struct budget {
        uint64_t limit; /* ns of real time, and of CPU time after these */

        uint64_t spent; /* ns, in earlier turns */
        uint64_t begin; /* of this turn */
        uint64_t cpu_spent;
        uint64_t cpu_begin; /* 0: not read in this turn */
};

/* CLOCK_MONOTONIC_COARSE, ns. */
uint64_t budget_now(void);

/* A thread begins a turn, and ends it. */
void budget_begin(struct budget *budget);
void budget_end(struct budget *budget);

/* Whether all is spent. now: budget_now(). Only within a turn. */
bool budget_is_over(struct budget *budget, uint64_t now);

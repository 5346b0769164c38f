/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The windows of token budgets: minutes, days and months of UTC, by the calendar. Each kind counts
 * its windows from 1970 on. Pure functions; times are seconds since 1970.
 */

#include <stdint.h>

enum window {
        WINDOW_MINUTE,
        WINDOW_DAY,
        WINDOW_MONTH,
        WINDOWS,
};

/* Every number of a window is below this: a clock that is set later shows the last minute of the
 * year 2479. */
#define WINDOW_NUMBER_MAX (UINT32_C(1) << 28)

/* The key of the configuration: "minute", "day", "month". */
const char *window_to_string(enum window window);

/* The number of the window that has this time; a time before 1970 counts as its beginning. */
uint32_t window_at(enum window window, int64_t time);

/* The first second after the window. */
int64_t window_end(enum window window, uint32_t number);

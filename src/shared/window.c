/* SPDX-License-Identifier: MIT */
#include "shared/window.h"

#include <time.h>

#define MINUTE 60
#define DAY (24 * 60 * MINUTE)
#define TIME_MAX ((int64_t)WINDOW_NUMBER_MAX * MINUTE - 1)

const char *window_to_string(enum window window)
{
        static const char *const names[WINDOWS] = {
                [WINDOW_MINUTE] = "minute",
                [WINDOW_DAY] = "day",
                [WINDOW_MONTH] = "month",
        };

        return names[window];
}

static uint32_t month_at(time_t time)
{
        struct tm tm = {};

        (void)gmtime_r(&time, &tm);
        return (uint32_t)((tm.tm_year - 70) * 12 + tm.tm_mon);
}

uint32_t window_at(enum window window, int64_t time)
{
        if (time < 0)
                time = 0;
        if (time > TIME_MAX)
                time = TIME_MAX;
        if (window == WINDOW_MONTH)
                return month_at((time_t)time);
        return (uint32_t)(time / (window == WINDOW_MINUTE ? MINUTE : DAY));
}

int64_t window_end(enum window window, uint32_t number)
{
        struct tm tm = { .tm_mday = 1 };

        if (window != WINDOW_MONTH)
                return ((int64_t)number + 1) * (window == WINDOW_MINUTE ? MINUTE : DAY);
        tm.tm_year = 70 + (int)((number + 1) / 12);
        tm.tm_mon = (int)((number + 1) % 12);
        return timegm(&tm);
}

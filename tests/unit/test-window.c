/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "shared/window.h"

static int64_t at(const char *text)
{
        struct tm tm = {};

        assert(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
        return timegm(&tm);
}

/* The second before a boundary belongs to one window, the boundary to the next. */
static void check(enum window window, const char *boundary)
{
        int64_t time = at(boundary);
        uint32_t number = window_at(window, time);

        assert(window_at(window, time - 1) == number - 1);
        assert(window_end(window, number - 1) == time);
        assert(window_end(window, number) > time);
        assert(window_at(window, window_end(window, number) - 1) == number);
}

int main(void)
{
        check(WINDOW_MINUTE, "2026-11-30 08:47:00");
        check(WINDOW_MINUTE, "2027-01-01 00:00:00");
        check(WINDOW_DAY, "2026-12-01 00:00:00");
        check(WINDOW_DAY, "2028-02-29 00:00:00");
        check(WINDOW_DAY, "2027-03-01 00:00:00");
        check(WINDOW_MONTH, "2026-12-01 00:00:00");
        check(WINDOW_MONTH, "2027-01-01 00:00:00");
        check(WINDOW_MONTH, "2028-03-01 00:00:00");
        check(WINDOW_MONTH, "2100-03-01 00:00:00");
        assert(window_end(WINDOW_MONTH, window_at(WINDOW_MONTH, at("2028-02-10 12:00:00"))) ==
               at("2028-03-01 00:00:00"));
        assert(window_at(WINDOW_MONTH, 0) == 0 && window_at(WINDOW_MONTH, 31 * 86400) == 1);

        /* Any clock. */
        for (enum window window = 0; window < WINDOWS; window++) {
                assert(window_at(window, INT64_MIN) == 0 && window_at(window, -1) == 0);
                assert(window_at(window, INT64_MAX) < WINDOW_NUMBER_MAX);
                assert(window_end(window, WINDOW_NUMBER_MAX - 1) > 0);
                assert(strlen(window_to_string(window)) > 0);
        }
        assert(window_at(WINDOW_MINUTE, INT64_MAX) == WINDOW_NUMBER_MAX - 1);
        return 0;
}

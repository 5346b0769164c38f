/* SPDX-License-Identifier: MIT */
#include "http/limits.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/exchange.h"
#include "util/clock.h"

/* "1h2m3s", "6m0s", "12s" or "20ms", as OpenAI's API has it; rounded up. */
static void put_duration(char *text, size_t size, uint64_t ns)
{
        uint64_t seconds = ns / NSEC_PER_SEC + (ns % NSEC_PER_SEC > 0);

        if (ns < NSEC_PER_SEC)
                (void)snprintf(text, size, "%" PRIu64 "ms",
                               ns / NSEC_PER_MSEC + (ns % NSEC_PER_MSEC > 0));
        else if (seconds < 60)
                (void)snprintf(text, size, "%" PRIu64 "s", seconds);
        else if (seconds < 3600)
                (void)snprintf(text, size, "%" PRIu64 "m%" PRIu64 "s", seconds / 60, seconds % 60);
        else
                (void)snprintf(text, size, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", seconds / 3600,
                               seconds / 60 % 60, seconds % 60);
}

static void put_field(struct exchange *x, const char *kind, enum limits_of what, const char *value)
{
        char name[40];

        (void)snprintf(name, sizeof name, "X-Ratelimit-%s-%s", kind,
                       what == LIMITS_REQUESTS ? "Requests" : "Tokens");
        exchange_header(x, name, value);
}

void limits_tell(struct exchange *x, enum limits_of what, const struct quota_left *left)
{
        char text[48];

        (void)snprintf(text, sizeof text, "%" PRIu64, left->limit);
        put_field(x, "Limit", what, text);
        (void)snprintf(text, sizeof text, "%" PRIu64, left->left);
        put_field(x, "Remaining", what, text);
        if (left->reset == 0)
                return;
        put_duration(text, sizeof text, left->reset);
        put_field(x, "Reset", what, text);
}

/* SPDX-License-Identifier: MIT */
#include "util/line-limit.h"

void line_limit_init(struct line_limit *limit, unsigned most, uint64_t interval)
{
        *limit = (struct line_limit){ .most = most, .interval = interval };
        (void)pthread_mutex_init(&limit->lock, NULL);
}

void line_limit_done(struct line_limit *limit)
{
        (void)pthread_mutex_destroy(&limit->lock);
}

/* Lock held. */
static bool is_over(const struct line_limit *limit, uint64_t now)
{
        return limit->begun == 0 || now - limit->begun >= limit->interval;
}

/* Lock held. */
static bool pass(struct line_limit *limit)
{
        uint64_t now = clock_now();

        if (is_over(limit, now)) {
                limit->begun = now;
                limit->lines = 0;
        }
        if (limit->lines < limit->most) {
                limit->lines++;
                return true;
        }
        limit->left_out++;
        return false;
}

/* Lock held. */
static unsigned take_left_out(struct line_limit *limit)
{
        unsigned n = limit->left_out;

        limit->left_out = 0;
        return n;
}

int line_limit_take(struct line_limit *limit)
{
        int n;

        (void)pthread_mutex_lock(&limit->lock);
        n = pass(limit) ? (int)take_left_out(limit) : -1;
        (void)pthread_mutex_unlock(&limit->lock);
        return n;
}

bool line_limit_pass(struct line_limit *limit)
{
        bool passes;

        (void)pthread_mutex_lock(&limit->lock);
        passes = pass(limit);
        (void)pthread_mutex_unlock(&limit->lock);
        return passes;
}

unsigned line_limit_left_out(struct line_limit *limit)
{
        unsigned n = 0;

        (void)pthread_mutex_lock(&limit->lock);
        if (is_over(limit, clock_now()))
                n = take_left_out(limit);
        (void)pthread_mutex_unlock(&limit->lock);
        return n;
}

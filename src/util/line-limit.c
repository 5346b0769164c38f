/* SPDX-License-Identifier: MIT */
#include "util/line-limit.h"
#include "util/clock.h"

#define INTERVAL_NS (10 * NSEC_PER_SEC)

int line_limit_take(struct line_limit *limit)
{
        uint64_t now = clock_now();
        int n = -1;

        (void)pthread_mutex_lock(&limit->lock);
        if (limit->last == 0 || now - limit->last >= INTERVAL_NS) {
                n = (int)limit->left_out;
                limit->last = now;
                limit->left_out = 0;
        } else {
                limit->left_out++;
        }
        (void)pthread_mutex_unlock(&limit->lock);
        return n;
}

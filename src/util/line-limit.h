/* SPDX-License-Identifier: MIT */
#pragma once

/* Limits lines of the log that clients or bricks can cause. Any thread may use one. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

struct line_limit {
        unsigned most;     /* lines in each interval */
        uint64_t interval; /* ns */

        pthread_mutex_t lock; /* of all below */
        uint64_t begun;       /* when this interval began; 0: none has */
        unsigned lines;       /* in it */
        unsigned left_out;    /* since somebody was last told */
};

/* One line in ten seconds. */
#define LINE_LIMIT_INIT                                                                     \
        {                                                                                   \
                .most = 1, .interval = 10 * NSEC_PER_SEC, .lock = PTHREAD_MUTEX_INITIALIZER \
        }

void line_limit_init(struct line_limit *limit, unsigned most, uint64_t interval);
void line_limit_done(struct line_limit *limit);

/* -1: log no line now, which is counted; else log one, which says that so many were left out. */
int line_limit_take(struct line_limit *limit);

/* Whether to log a line now. If not, it is counted for line_limit_left_out(). */
bool line_limit_pass(struct line_limit *limit);

/* How many lines were left out, once their interval is over; they are not reported again. */
unsigned line_limit_left_out(struct line_limit *limit);

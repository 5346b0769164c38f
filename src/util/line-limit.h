/* SPDX-License-Identifier: MIT */
#pragma once

/* Limits lines of the log that clients can cause: one in ten seconds for each place that logs. */

#include <pthread.h>
#include <stdint.h>

struct line_limit {
        pthread_mutex_t lock;
        uint64_t last;     /* when the last line was logged; 0: none was */
        unsigned left_out; /* since then */
};

#define LINE_LIMIT_INIT                           \
        {                                         \
                .lock = PTHREAD_MUTEX_INITIALIZER \
        }

/* -1: log no line now, which is counted; else log one, which says that so many were left out. [any]
 */
int line_limit_take(struct line_limit *limit);

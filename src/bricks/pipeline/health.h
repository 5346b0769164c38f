/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A pipeline serves while every step that it cannot do without has a brick that serves: one that
 * always runs and whose failure ends the call.
 */

#include <pthread.h>

#include "plan.h"

struct health {
        pthread_mutex_t lock; /* several bricks may change at once */
        const struct plan *plan;
};

/* In create(), once the plan is there: watches the bricks. 0 or -ENOMEM. */
int health_begin(struct health *health, const struct plan *plan);
void health_done(struct health *health);

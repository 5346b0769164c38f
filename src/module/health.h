/* SPDX-License-Identifier: MIT */
#pragma once

/* What a brick says of its own health: good, until it says otherwise. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "brick.h"
#include "shared/stats.h"

/* Longer reasons are cut, which an ellipsis shows. */
#define HEALTH_REASON_MAX STATS_TEXT_MAX

struct health {
        atomic_bool good;

        pthread_mutex_t lock; /* of all below */
        char reason[HEALTH_REASON_MAX + 1];
        struct stats_health *shown; /* to the main process; NULL: it is not */
        void (*changed)(void *user);
        void *user;
};

void health_init(struct health *health);
void health_done(struct health *health);

/* True: it was not so before. [any] */
bool health_set(struct health *health, bool good, struct brick_str reason);

/* Why it is not good; empty: it is. [any] */
void health_reason(struct health *health, char ret[static HEALTH_REASON_MAX + 1]);

/*
 * Who is told of changes, on the brick's thread: changed() must be quick and not come back here.
 * NULL: nobody; it has returned for the last time then. [any]
 */
void health_listen(struct health *health, void (*changed)(void *user), void *user);

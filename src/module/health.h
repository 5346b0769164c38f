/* SPDX-License-Identifier: MIT */
#pragma once

/* The health that a brick reports: good, until it says otherwise. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "brick.h"
#include "shared/stats.h"

/* Longer reasons are cut and end in an ellipsis. */
#define HEALTH_REASON_MAX STATS_TEXT_MAX

/* One of those who hear of each change. */
struct health_watch {
        struct health_watch *next;
        void (*changed)(struct health_watch *watch);
};

struct health {
        atomic_bool good;

        pthread_mutex_t lock; /* of all below */
        char reason[HEALTH_REASON_MAX + 1];
        struct stats_health *shown; /* a copy for the main process; NULL: none */
        void (*changed)(void *user);
        void *user;
        struct health_watch *watches;
};

void health_init(struct health *health);
void health_done(struct health *health);

/* Returns whether `good` has changed. [any] */
bool health_set(struct health *health, bool good, struct brick_str reason);

/* The reason why it is not good; empty if it is. [any] */
void health_reason(struct health *health, char ret[static HEALTH_REASON_MAX + 1]);

/*
 * Sets a function to call after each change, on the brick's thread, with the lock held: it must be
 * quick and call no function of the health. NULL: none; the last one is not running any more when
 * this returns. [any]
 */
void health_listen(struct health *health, void (*changed)(void *user), void *user);

/* The same, for any number of watches. The memory is the caller's. [any] */
void health_add_watch(struct health *health, struct health_watch *watch);
void health_remove_watch(struct health *health, struct health_watch *watch);

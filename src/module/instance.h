/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One brick of the configuration, made from a module: what it may have at a time, what waits for
 * it, and the threads of a blocking one.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "conf/conf.h"
#include "module/health.h"
#include "module/load.h"
#include "module/share.h"
#include "module/timeout.h"
#include "shared/stats.h"
#include "util/log.h"

struct brick_call;
struct diag;
struct instance;

struct brick_target {
        struct instance *instance;
};

/* brickd's side of an instance, as the brick sees it. */
struct brick_ctx {
        struct instance *instance;

        /* While create() runs; see instance_new(). */
        struct diag *diag;
        const struct node *options;
        const char *base;
        struct instance **peers;
        size_t n_peers;
        char **strings; /* paths and secrets made for it */
        size_t n_strings;
};

struct instance {
        struct brick_ctx ctx;
        const struct conf_brick *conf;
        struct conf_limits limits;
        const struct module *module;
        const struct brick_module *brick;
        struct brick_instance *self;
        unsigned type; /* BRICK_TYPE_*, never ANY */
        bool blocking;
        struct health health;
        atomic_int log_level; /* of the lines about it; 0: that of the log */

        struct stats_brick *stats; /* calls it holds, calls that wait for it, and what has been */

        /* Calls that wait, and the threads that take them. An async brick gets one, with its first
         * such call. */
        pthread_mutex_t lock;
        pthread_cond_t work;
        struct share share;
        pthread_t *threads;
        unsigned n_threads;
        bool stopping;
        struct timeouts timeouts; /* of calls by other bricks */
        struct brick_target as_target;
};

/*
 * Makes an instance of a module: checks nothing but what the type needs (the module's options are
 * already checked), runs create(). `peers` are the instances that it may call, found by name; they
 * outlive this one. `base` is what relative paths start from. `stats` outlives it too.
 * Mistakes go to diag; -EINVAL then. [main]
 */
int instance_new(struct instance **ret, const struct conf_brick *conf, const struct module *module,
                 const struct node *options, const char *base, struct instance **peers,
                 size_t n_peers, struct stats_brick *stats, struct diag *diag);

/* Tells the brick that no new call will come. [main] */
void instance_drain(struct instance *instance);

/* Every call has ended. Joins the threads, runs destroy(). [main] */
struct instance *instance_free(struct instance *instance);
DEFINE_CLEANUP(struct instance *, instance_free);

/* Whether a line about the brick is to be logged. [any] */
static inline bool instance_logs(const struct instance *instance, enum log_level level)
{
        int own = atomic_load_explicit(&instance->log_level, memory_order_relaxed);

        return own ? (int)level <= own : log_enabled(level);
}

enum admission {
        ADMIT_START,  /* start it here and now: call_start() */
        ADMIT_QUEUED, /* a thread of the instance starts it; the queue has a reference */
        ADMIT_FULL,   /* neither room nor queue: call_refuse_busy() */
};

/* Takes a call in. May refuse one that waits in its stead, see share.h. [any] */
enum admission instance_admit(struct instance *instance, struct brick_call *call);

/* Takes a call out of the queue; the queue's reference is then the caller's. False: it is not
 * there. [any] */
bool instance_withdraw(struct instance *instance, struct brick_call *call);

/* This call of the brick has finished: there is room for the next. [any] */
void instance_release(struct instance *instance, struct brick_call *call);

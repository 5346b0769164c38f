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
#include "module/runner.h"
#include "module/share.h"
#include "module/timeout.h"
#include "shared/stats.h"
#include "util/log.h"

struct call;
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
        unsigned type;   /* BRICK_TYPE_*, never ANY */
        unsigned number; /* in the names of its calls; 0: it has none */
        bool blocking;
        struct health health;
        atomic_int log_level; /* of the lines about it; 0: that of the log */

        struct stats_brick *stats; /* calls it holds, calls that wait for it, and what has been */

        /* Of a brick that has been seen to hold the polling thread for long: what enters it for
         * calls with requests of long_size bytes or more. NULL: the polling thread does. */
        _Atomic(struct runner *) runner;
        atomic_size_t long_size;
        bool suspect; /* [polling thread] it has held it: when, and with a request of what size */
        uint64_t long_seen;
        size_t long_seen_size;

        /* Calls that wait for room, and the threads of a blocking brick that take them. */
        pthread_mutex_t lock;
        pthread_cond_t work;
        struct share share;
        pthread_t *threads;
        unsigned n_threads;
        bool stopping;

        /* Who may call it, and how far its drain() is. */
        struct instance **callers;
        size_t n_callers;
        atomic_bool closed; /* takes no call in any more; set with the lock held */
        struct run_item barrier;
        atomic_bool started; /* all that was taken in before it was closed has been started */
        bool drained;

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

/*
 * No call comes from outside any more: tells the brick so with drain(), once what it has been given
 * to do has been started and those who call it are done. Call it again, every few milliseconds,
 * until it says true. With `now`, those who call it are not waited for. [main]
 */
bool instance_drain(struct instance *instance, bool now);

/* The caller's create() has asked for the callee as a target. -ENOMEM. [main] */
int instance_add_caller(struct instance *callee, struct instance *caller);

/* Every call has ended. Joins the threads, runs destroy(). [main] */
struct instance *instance_free(struct instance *instance);
DEFINE_CLEANUP(struct instance *, instance_free);

/* The thread that enters the brick for a call with a request of so many bytes, but for start() of a
 * blocking brick. [any] */
static inline struct runner *instance_runner_for(const struct instance *instance, size_t size)
{
        struct runner *runner = atomic_load_explicit(&instance->runner, memory_order_acquire);

        return runner && size >= atomic_load_explicit(&instance->long_size, memory_order_relaxed)
                       ? runner
                       : &runner_polling;
}

/*
 * An entry for a call with such a request has held the polling thread for `held` ns, longer than
 * limits.hold. When that happens again soon, calls of this size get a thread of their own.
 * [polling thread]
 */
void instance_took_long(struct instance *instance, size_t size, uint64_t held);

/* Whether that has happened within the last 10 s. [polling thread] */
bool instance_suspected_lately(struct instance *instance);

static inline bool instance_is_suspect(struct instance *instance)
{
        return instance->suspect && instance_suspected_lately(instance);
}

/* The instance of a number; NULL: there is none any more. [any] */
const struct instance *instance_of_number(unsigned number);

/* Logs that the brick has done what its module must not do. NULL: it is not known which. [any] */
void instance_blame(const struct instance *instance, const char *what);

/* Whether a line about the brick is to be logged. [any] */
static inline bool instance_logs(const struct instance *instance, enum log_level level)
{
        int own = atomic_load_explicit(&instance->log_level, memory_order_relaxed);

        return own ? (int)level <= own : log_enabled(level);
}

enum admission {
        ADMIT_START,  /* it has a place: the caller starts it */
        ADMIT_QUEUED, /* it is started when there is room; the queue has a reference */
        ADMIT_FULL,   /* neither room nor queue: call_refuse_busy() */
        ADMIT_CLOSED, /* the brick is being drained: UNAVAILABLE */
};

/* Takes a call in. May refuse one that waits in its stead, see share.h. [any] */
enum admission instance_admit(struct instance *instance, struct call *call);

/* Takes a call out of the queue; the queue's reference is then the caller's. False: it is not
 * there. [any] */
bool instance_withdraw(struct instance *instance, struct call *call);

/* This call of the brick has finished: there is room for the next. [any] */
void instance_release(struct instance *instance, struct call *call);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One brick of the configuration, made from a module: its limits, the calls that wait for it, and
 * the threads of a blocking one.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "conf/conf.h"
#include "module/alarm.h"
#include "module/health.h"
#include "module/instance-log.h"
#include "module/load.h"
#include "module/runner.h"
#include "module/share.h"
#include "shared/stats.h"
#include "util/log.h"

struct call;
struct diag;
struct instance;
struct target_watch;

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
        unsigned type;    /* BRICK_TYPE_*, never ANY */
        uint32_t methods; /* 1 << BRICK_METHOD_*: those of the module that its type has */
        unsigned number;  /* in the names of its calls; 0: it has none */
        bool blocking;
        struct health health;
        atomic_int log_level; /* of the lines about it; 0: that of the log */
        struct instance_log log;

        struct stats_brick *stats; /* calls in flight, calls that wait, and counters */

        /* The runner of calls with requests of long_size bytes or more, once such calls have held
         * the polling thread for long. NULL: the polling thread is the runner of all calls. */
        _Atomic(struct runner *) runner;
        atomic_size_t long_size;
        bool suspect;          /* [polling thread] a call has held it for long at long_seen */
        uint64_t long_seen;    /* [polling thread] clock_now() */
        size_t long_seen_size; /* [polling thread] the size of that call's request */

        /* Calls that wait for a place, and the threads of a blocking brick, which take them. */
        pthread_mutex_t lock;
        pthread_cond_t work;
        struct share share;
        pthread_t *threads;
        unsigned n_threads;
        bool stopping;

        struct target_watch *watches; /* of bricks that it may call; target.c's */
        struct instance **callers;    /* bricks that may call it */
        size_t n_callers;

        /* the steps of draining, in this order */
        atomic_bool closed;      /* accepts no call any more; set with the lock held */
        struct run_item barrier; /* behind the calls that were accepted before */
        atomic_bool started;     /* all of these calls have been started */
        bool drained;            /* drain() has been called */

        /* [polling thread] The models that the brick says it has; http/catalogue.c's, which asks.
         */
        const char *const *models;
        size_t n_models;

        struct alarms alarms; /* of calls by other bricks, and the timers of its own calls */
        struct brick_target as_target;
};

/*
 * Makes an instance of a module and runs create(). The options have been checked; only what depends
 * on the type is checked here. `peers` are the instances that it may call, which it finds by name;
 * they and `stats` must outlive it. Relative paths start at `base`. -EINVAL: there are mistakes, in
 * diag. [main]
 */
int instance_new(struct instance **ret, const struct conf_brick *conf, const struct module *module,
                 const struct node *options, const char *base, struct instance **peers,
                 size_t n_peers, struct stats_brick *stats, struct diag *diag);

/*
 * Call this every few milliseconds, once no call comes from the wire any more, until it returns
 * true. It calls drain() of the brick when the bricks that may call it are drained and have no call
 * in flight, and when every accepted call has been started. With `now`, it does not wait for the
 * callers. [main]
 */
bool instance_drain(struct instance *instance, bool now);

/* Records that the caller may call the callee: its create() has asked for this target. -ENOMEM.
 * [main] */
int instance_add_caller(struct instance *callee, struct instance *caller);

/* Joins the threads and runs destroy(). Every call must have ended. [main] */
struct instance *instance_free(struct instance *instance);
DEFINE_CLEANUP(struct instance *, instance_free);

/* The runner that makes the entries for a call with a request of `size` bytes, except start() of a
 * blocking brick. [any] */
static inline struct runner *instance_runner_for(const struct instance *instance, size_t size)
{
        struct runner *runner = atomic_load_explicit(&instance->runner, memory_order_acquire);

        return runner && size >= atomic_load_explicit(&instance->long_size, memory_order_relaxed)
                       ? runner
                       : &runner_polling;
}

/*
 * Notes that an entry for a call with a request of `size` bytes has held the polling thread for
 * `held` ns, longer than limits.hold. When this happens twice within 10 s, calls of this size get
 * a runner of their own. [polling thread]
 */
void instance_took_long(struct instance *instance, size_t size, uint64_t held);

/* Whether a call has held the polling thread for long within the last 10 s. [polling thread] */
bool instance_suspected_lately(struct instance *instance);

static inline bool instance_is_suspect(struct instance *instance)
{
        return instance->suspect && instance_suspected_lately(instance);
}

/* The instance with this number; NULL: there is none. [any] */
struct instance *instance_of_number(unsigned number);

/* Whether a line about the brick is to be logged. [any] */
static inline bool instance_logs(const struct instance *instance, enum log_level level)
{
        int own = atomic_load_explicit(&instance->log_level, memory_order_relaxed);

        return own ? (int)level <= own : log_enabled(level);
}

enum admission {
        ADMIT_START,  /* it has a place: start it */
        ADMIT_QUEUED, /* it will be started when there is a place; the queue has a reference */
        ADMIT_FULL,   /* no place, and the queue is full: answer RESOURCE_EXHAUSTED */
        ADMIT_CLOSED, /* the brick is being drained: answer UNAVAILABLE */
};

/* Accepts a call. To make room for it, it may refuse a call that waits, see share.h. [any] */
enum admission instance_admit(struct instance *instance, struct call *call);

/* Takes a call out of the queue and gives the queue's reference to the caller. False: the call is
 * not there. [any] */
bool instance_withdraw(struct instance *instance, struct call *call);

/* A call has finished, and its place is free for calls that come from now on. instance_release()
 * follows. The lock of the call may be held. [any] */
void instance_vacate(struct instance *instance);

/* Starts calls that wait for the place, and returns it to the reserve if it is of that. [any] */
void instance_release(struct instance *instance, struct call *call);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Run queues. Whatever enters a brick's code on behalf of a call is an item in the queue of a
 * runner, which is one thread: no function of the ABI enters a brick on the stack of its caller.
 *
 * One runner is the polling thread, which runs its queue between two events. A brick that takes
 * long has a runner with a thread of its own: see instance_runner_for().
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct run_item {
        struct run_item *next;
        void (*run)(struct run_item *item);
};

struct run_list {
        struct run_item *first;
        struct run_item **end;
};

struct runner {
        struct run_list own;  /* to be run next; only the runner's thread sees these two */
        struct run_list last; /* to be run once nothing else is queued */

        pthread_mutex_t lock;
        pthread_cond_t work;
        struct run_list others; /* posted by other threads; the lock guards it */
        atomic_bool posted;     /* `others` is not empty */
        bool stopping;
        pthread_t thread; /* of a runner that has one of its own */

        /* The polling thread's: makes its wait return. Called without the lock, on any thread. */
        void (*wake)(void *user);
        void *user;
};

/* The runner of the polling thread. One per process. */
extern struct runner runner_polling;

/* The calling thread becomes the polling thread: it has to call runner_run() until
 * runner_has_work() is false before it waits, and wake() has to end its wait. NULL: nobody need be
 * woken. */
void runner_enter(void (*wake)(void *user), void *user);

/* It is the polling thread no longer. */
void runner_leave(void);

/* The runner that the calling thread is; NULL: none. runner.c's to set. */
extern _Thread_local struct runner *runner_here;

/* Whether the calling thread is this runner. */
static inline bool runner_is_here(const struct runner *runner)
{
        return runner_here == runner;
}

/* Queues an item, which must not be queued already; its owner keeps it until it has run. [any] */
void runner_post(struct runner *runner, struct run_item *item);

/* The same, behind everything else, also what comes later. The runner's thread only. */
void runner_post_last(struct runner *runner, struct run_item *item);

/* Whether something is queued. The runner's thread only. */
static inline bool runner_has_work(const struct runner *runner)
{
        return runner->own.first || runner->last.first ||
               atomic_load_explicit(&runner->posted, memory_order_relaxed);
}

/* Runs what is queued, in its order, but not for long: others are to be served as well. The
 * runner's thread only. */
void runner_run(struct runner *runner);

/* Makes a runner with a thread. Negative errno. */
int runner_new(struct runner **ret);

/* Runs what is queued, ends the thread, and frees. Takes NULL. */
struct runner *runner_free(struct runner *runner);

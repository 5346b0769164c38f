/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Run queues. Every entry into a brick on behalf of a call is made by an item in the queue of a
 * runner, which is one thread. So no function of the ABI enters a brick on the stack of its caller.
 *
 * The polling thread is a runner: it runs its queue between two events. A brick that holds the
 * polling thread for long gets a runner with a thread of its own: see instance_runner_for().
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
        /* used by the runner's thread only */
        struct run_list own;  /* run next */
        struct run_list last; /* run when nothing else is queued */

        pthread_mutex_t lock; /* of all below but `posted` */
        pthread_cond_t work;
        struct run_list others; /* posted by other threads */
        atomic_bool posted;     /* `others` is not empty */
        bool stopping;
        pthread_t thread; /* of runner_new() */

        /* of the polling thread: makes its wait return. Called with the lock held, on any thread */
        void (*wake)(void *user);
        void *user;
};

/* The runner of the polling thread. One per process. */
extern struct runner runner_polling;

/*
 * Makes the calling thread the polling thread. Before it waits, it must call runner_run() until
 * runner_has_work() is false; wake() must end its wait and must not post. NULL: it never waits.
 */
void runner_enter(void (*wake)(void *user), void *user);

/* Ends this. wake() is not called any more once it has returned. */
void runner_leave(void);

/* The runner that the calling thread is; NULL: none. runner.c's to set. */
extern _Thread_local struct runner *runner_here;

/* Whether the calling thread is this runner. */
static inline bool runner_is_here(const struct runner *runner)
{
        return runner_here == runner;
}

/* Queues an item, which must not be queued. Its owner keeps its memory until it runs. [any] */
void runner_post(struct runner *runner, struct run_item *item);

/* Queues an item that runs when nothing else is queued. The runner's thread only. */
void runner_post_last(struct runner *runner, struct run_item *item);

/* Whether something is queued. The runner's thread only. */
static inline bool runner_has_work(const struct runner *runner)
{
        return runner->own.first || runner->last.first ||
               atomic_load_explicit(&runner->posted, memory_order_relaxed);
}

/* A turn: runs queued items in order, for about 1 ms, so that the caller can do other work between
 * two turns. The runner's thread only. */
void runner_run(struct runner *runner);

/* Makes a runner with a thread of its own. Negative errno. */
int runner_new(struct runner **ret);

/* Runs all queued items, ends the thread, and frees. Takes NULL. */
struct runner *runner_free(struct runner *runner);

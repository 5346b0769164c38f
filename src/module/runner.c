/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "module/entry.h"
#include "module/runner.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* The limits of one turn. Its time is clock_recent(), which an item that enters a brick brings up
 * to date. */
#define TURN_ITEMS 64
#define TURN_NS (1 * NSEC_PER_MSEC)

struct runner runner_polling = {
        .own.end = &runner_polling.own.first,
        .last.end = &runner_polling.last.first,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .others.end = &runner_polling.others.first,
};

/* The runner of this thread; NULL: it is none. */
_Thread_local struct runner *runner_here;

static void append(struct run_list *list, struct run_item *item)
{
        item->next = NULL;
        *list->end = item;
        list->end = &item->next;
}

static struct run_item *take(struct run_list *list)
{
        struct run_item *item = list->first;

        if (item) {
                list->first = item->next;
                if (!list->first)
                        list->end = &list->first;
        }
        return item;
}

/* Moves all of a list to the end of another. */
static void join(struct run_list *list, struct run_list *tail)
{
        if (!tail->first)
                return;
        *list->end = tail->first;
        list->end = tail->end;
        tail->first = NULL;
        tail->end = &tail->first;
}

void runner_enter(void (*wake)(void *user), void *user)
{
        struct runner *runner = &runner_polling;

        (void)pthread_mutex_lock(&runner->lock);
        runner->wake = wake;
        runner->user = user;
        (void)pthread_mutex_unlock(&runner->lock);
        runner_here = runner;
}

void runner_leave(void)
{
        struct runner *runner = &runner_polling;

        runner_here = NULL;
        (void)pthread_mutex_lock(&runner->lock);
        runner->wake = NULL;
        (void)pthread_mutex_unlock(&runner->lock);
}

void runner_post(struct runner *runner, struct run_item *item)
{
        void (*wake)(void *user) = NULL;

        if (runner_here == runner) {
                append(&runner->own, item);
                return;
        }

        (void)pthread_mutex_lock(&runner->lock);
        append(&runner->others, item);
        /* Wake it for the first item only: it takes all at once. */
        if (!atomic_exchange_explicit(&runner->posted, true, memory_order_relaxed)) {
                wake = runner->wake;
                (void)pthread_cond_signal(&runner->work);
        }
        /* With the lock held, so that runner_leave() waits for this. */
        if (wake)
                wake(runner->user);
        (void)pthread_mutex_unlock(&runner->lock);
}

void runner_post_last(struct runner *runner, struct run_item *item)
{
        append(&runner->last, item);
}

static void take_others(struct runner *runner)
{
        if (!atomic_load_explicit(&runner->posted, memory_order_relaxed))
                return;
        (void)pthread_mutex_lock(&runner->lock);
        atomic_store_explicit(&runner->posted, false, memory_order_relaxed);
        join(&runner->own, &runner->others);
        (void)pthread_mutex_unlock(&runner->lock);
}

void runner_run(struct runner *runner)
{
        uint64_t began = clock_recent();
        struct run_item *item;

        take_others(runner);
        for (unsigned n = 0; n < TURN_ITEMS && clock_recent() - began < TURN_NS; n++) {
                item = take(&runner->own);
                if (!item)
                        item = take(&runner->last);
                if (!item)
                        return;
                item->run(item);
        }
}

/* Waits until something is posted. False: the runner is to end. */
static bool wait_for_work(struct runner *runner)
{
        bool work;

        (void)pthread_mutex_lock(&runner->lock);
        while (!runner->others.first && !runner->stopping)
                (void)pthread_cond_wait(&runner->work, &runner->lock);
        work = runner->others.first;
        (void)pthread_mutex_unlock(&runner->lock);
        return work;
}

static void *thread_run(void *arg)
{
        struct runner *runner = arg;

        runner_here = runner;
        entry_guard_thread();
        while (wait_for_work(runner))
                while (runner_has_work(runner))
                        runner_run(runner);
        return NULL;
}

int runner_new(struct runner **ret)
{
        _cleanup_free_ struct runner *runner = calloc(1, sizeof *runner);
        int r;

        if (!runner)
                return -ENOMEM;
        runner->own.end = &runner->own.first;
        runner->last.end = &runner->last.first;
        runner->others.end = &runner->others.first;
        (void)pthread_mutex_init(&runner->lock, NULL);
        (void)pthread_cond_init(&runner->work, NULL);
        r = entry_start_thread(&runner->thread, thread_run, runner);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(runner);
        return 0;
}

struct runner *runner_free(struct runner *runner)
{
        if (!runner)
                return NULL;
        (void)pthread_mutex_lock(&runner->lock);
        runner->stopping = true;
        (void)pthread_cond_signal(&runner->work);
        (void)pthread_mutex_unlock(&runner->lock);
        (void)pthread_join(runner->thread, NULL);
        (void)pthread_cond_destroy(&runner->work);
        (void)pthread_mutex_destroy(&runner->lock);
        free(runner);
        return NULL;
}

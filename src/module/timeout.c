/* SPDX-License-Identifier: MIT */
#include "module/timeout.h"
#include "module/call.h"
#include "module/entry.h"
#include "util/clock.h"

void timeouts_init(struct timeouts *timeouts, void (*over)(struct call *call))
{
        *timeouts = (struct timeouts){ .end = &timeouts->first, .over = over };
        (void)pthread_mutex_init(&timeouts->lock, NULL);
        clock_cond_init(&timeouts->changed);
}

void timeouts_done(struct timeouts *timeouts)
{
        (void)pthread_mutex_lock(&timeouts->lock);
        timeouts->stopping = true;
        (void)pthread_cond_signal(&timeouts->changed);
        (void)pthread_mutex_unlock(&timeouts->lock);
        if (timeouts->running)
                (void)pthread_join(timeouts->thread, NULL);
        (void)pthread_cond_destroy(&timeouts->changed);
        (void)pthread_mutex_destroy(&timeouts->lock);
}

/* Lock held. */
static void unlink_timeout(struct timeouts *timeouts, struct timeout *timeout)
{
        *timeout->link = timeout->next;
        if (timeout->next)
                timeout->next->link = timeout->link;
        else
                timeouts->end = timeout->link;
        timeout->link = NULL;
}

/* Lock held, and released meanwhile. */
static void expire_first(struct timeouts *timeouts)
{
        struct call *call = timeouts->first->call;

        unlink_timeout(timeouts, timeouts->first);
        call_ref(call);
        (void)pthread_mutex_unlock(&timeouts->lock);
        timeouts->over(call);
        call_drop(call);
        (void)pthread_mutex_lock(&timeouts->lock);
}

/* Lock held, and released meanwhile. */
static void wait_for_first(struct timeouts *timeouts)
{
        uint64_t at = timeouts->first->at;
        const struct timespec until = {
                .tv_sec = (time_t)(at / NSEC_PER_SEC),
                .tv_nsec = (long)(at % NSEC_PER_SEC),
        };

        (void)pthread_cond_timedwait(&timeouts->changed, &timeouts->lock, &until);
}

static void *run(void *arg)
{
        struct timeouts *timeouts = arg;

        entry_guard_thread();
        (void)pthread_mutex_lock(&timeouts->lock);
        while (!timeouts->stopping) {
                if (!timeouts->first)
                        (void)pthread_cond_wait(&timeouts->changed, &timeouts->lock);
                else if (clock_now() < timeouts->first->at)
                        wait_for_first(timeouts);
                else
                        expire_first(timeouts);
        }
        (void)pthread_mutex_unlock(&timeouts->lock);
        return NULL;
}

/* Lock held. */
static int start_thread(struct timeouts *timeouts)
{
        int r;

        if (timeouts->running)
                return 0;
        r = entry_start_thread(&timeouts->thread, run, timeouts);
        timeouts->running = r == 0;
        return r;
}

int timeout_add(struct timeouts *timeouts, struct timeout *timeout, struct call *call, uint64_t ns)
{
        int r;

        (void)pthread_mutex_lock(&timeouts->lock);
        r = start_thread(timeouts);
        if (r == 0) {
                /* With the lock held, so that the list stays in the order of `at`. */
                *timeout = (struct timeout){ .call = call, .at = clock_now() + ns };
                timeout->link = timeouts->end;
                *timeout->link = timeout;
                timeouts->end = &timeout->next;
                if (timeouts->first == timeout)
                        (void)pthread_cond_signal(&timeouts->changed);
        }
        (void)pthread_mutex_unlock(&timeouts->lock);
        return r;
}

void timeout_remove(struct timeouts *timeouts, struct timeout *timeout)
{
        (void)pthread_mutex_lock(&timeouts->lock);
        if (timeout->link)
                unlink_timeout(timeouts, timeout);
        (void)pthread_mutex_unlock(&timeouts->lock);
}

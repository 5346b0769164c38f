/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "fake-impl.h"

/* The timers of a call. They fire while the test waits; what brick.h forbids aborts it. */

struct brick_timer {
        struct brick_timer *next;
        struct fake_call *call;
        void (*fire)(void *user);
        void *user;
        uint64_t when; /* UINT64_MAX: not set */
        bool freed;
};

int fake_timer_new(struct brick_call *c, void (*fire)(void *user), void *user,
                   struct brick_timer **ret)
{
        struct fake_call *call = call_of(c);
        struct brick_timer *timer = fake_must(calloc(1, sizeof *timer));

        lock(call);
        if (call->finished)
                fake_die("the brick makes a timer of a call that it has finished");
        *timer = (struct brick_timer){
                .next = call->timers, .call = call, .fire = fire, .user = user, .when = UINT64_MAX
        };
        call->timers = timer;
        unlock(call);
        *ret = timer;
        return 0;
}

void fake_timer_set(struct brick_timer *timer, uint64_t when)
{
        lock(timer->call);
        if (timer->freed || timer->call->finished)
                fake_die("the brick sets a timer that it has freed, or of a finished call");
        timer->when = when;
        unlock(timer->call);
}

void fake_timer_free(struct brick_timer *timer)
{
        if (!timer)
                return;
        lock(timer->call);
        if (timer->freed)
                fake_die("the brick frees a timer twice");
        timer->freed = true;
        timer->when = UINT64_MAX;
        unlock(timer->call);
}

bool fake_timers_fire(struct fake_call *call)
{
        struct brick_timer *first = NULL;
        uint64_t now = brick_now();

        for (struct brick_timer *t = call->timers; t; t = t->next)
                if (t->when != UINT64_MAX && (!first || t->when < first->when))
                        first = t;
        if (!first)
                return false;
        (void)pthread_mutex_unlock(&call->lock);
        if (first->when > now)
                (void)usleep((useconds_t)((first->when - now) / 1000 + 1));
        first->when = UINT64_MAX;
        first->fire(first->user);
        (void)pthread_mutex_lock(&call->lock);
        return true;
}

void fake_timers_free(struct fake_call *call)
{
        for (struct brick_timer *next; call->timers; call->timers = next) {
                next = call->timers->next;
                free(call->timers);
        }
}

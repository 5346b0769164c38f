/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "module/alarm.h"
#include "module/call.h"
#include "module/entry.h"
#include "module/instance.h"
#include "module/timer.h"
#include "util/clock.h"

/* The most timers that one call has at a time. */
#define TIMERS_MAX 32

#define MADE_LATE "made a timer of a call that it had finished"

/* The lock of the call guards all but `alarm`, which the alarms of the call's instance guard. */
struct brick_timer {
        struct alarm alarm;
        struct brick_timer *next; /* of the same call */
        bool used;                /* between timer_new() and timer_free() */
        bool due;                 /* fire() is to run */
        uint64_t when;            /* UINT64_MAX: it is not set */
        void (*fire)(void *user);
        void *user;
};

/* [alarms] The alarm may be late: the timer has been set again, or freed, or even used anew. */
static void ring(struct alarm *alarm)
{
        struct brick_timer *timer = CONTAINER_OF(alarm, struct brick_timer, alarm);
        struct call *call = alarm->call;

        call_lock(call);
        if (timer->when <= clock_now()) {
                timer->when = UINT64_MAX;
                timer->due = true;
                call_post(call, DUE_TIMER);
        }
        call_unlock(call);
}

/* Lock held. */
static void clear(struct brick_timer *timer)
{
        timer->when = UINT64_MAX;
        timer->due = false;
        alarm_clear(&timer->alarm.call->instance->alarms, &timer->alarm);
}

/* Lock held. */
static void start(struct brick_timer *timer, uint64_t when)
{
        struct call *call = timer->alarm.call;

        if (when == UINT64_MAX)
                return;
        if (when <= clock_now()) {
                timer->due = true;
                call_post(call, DUE_TIMER);
                return;
        }
        timer->when = when;
        alarm_set(&call->instance->alarms, &timer->alarm, when);
}

/* Lock held. A timer that is free, or memory for another. */
static int take(struct call *call, struct brick_timer **ret)
{
        struct brick_timer *timer = call->timers;
        unsigned n = 0;

        for (; timer && timer->used; timer = timer->next)
                n++;
        if (!timer && n == TIMERS_MAX)
                return -E2BIG;
        if (!timer) {
                timer = calloc(1, sizeof *timer);
                if (!timer)
                        return -ENOMEM;
                timer->alarm.call = call;
                timer->alarm.ring = ring;
                timer->when = UINT64_MAX;
                timer->next = call->timers;
                call->timers = timer;
        }
        *ret = timer;
        return 0;
}

int timer_abi_new(struct brick_call *handle, void (*fire)(void *user), void *user,
                  struct brick_timer **ret)
{
        struct call *call = handle_find(handle);
        struct brick_timer *timer;
        int r;

        if (!call) {
                instance_blame(instance_of_number(handle_owner(handle)), MADE_LATE);
                return -ECANCELED;
        }
        r = alarms_start(&call->instance->alarms);
        if (r < 0)
                return r;
        call_lock(call);
        r = call_is_bricks(call) ? take(call, &timer) : -ECANCELED;
        if (r == 0) {
                timer->used = true;
                timer->fire = fire;
                timer->user = user;
                *ret = timer;
        }
        call_unlock(call);
        if (r == -ECANCELED)
                call_misuse(call, MADE_LATE);
        return r;
}

void timer_abi_set(struct brick_timer *timer, uint64_t when)
{
        struct call *call = timer->alarm.call;
        const char *misuse = NULL;

        call_lock(call);
        if (!timer->used) {
                misuse = "set a timer that it had freed";
        } else if (!call_is_bricks(call)) {
                misuse = "set a timer of a call that it had finished";
        } else {
                clear(timer);
                start(timer, when);
        }
        call_unlock(call);
        if (misuse)
                call_misuse(call, misuse);
}

void timer_abi_free(struct brick_timer *timer)
{
        struct call *call;
        bool used;

        if (!timer)
                return;
        call = timer->alarm.call;
        call_lock(call);
        used = timer->used;
        timer->used = false;
        clear(timer);
        call_unlock(call);
        if (!used)
                call_misuse(call, "freed a timer twice");
}

static void fire(struct call *call, struct brick_timer *timer)
{
        void (*function)(void *user) = timer->fire;
        void *user = timer->user;
        struct entry entry;

        timer->due = false;
        call_unlock(call);
        entry_begin(&entry, call->instance);
        function(user);
        call_note_time(call, entry_end(&entry, call->instance));
        call_lock(call);
}

void timers_enter(struct call *call)
{
        for (struct brick_timer *t = call->timers; t && call->side == SIDE_ENTERED; t = t->next)
                if (t->due)
                        fire(call, t);
}

void timers_stop(struct call *call)
{
        for (struct brick_timer *timer = call->timers; timer; timer = timer->next)
                clear(timer);
}

void timers_free(struct call *call)
{
        struct brick_timer *timer;

        while ((timer = call->timers)) {
                call->timers = timer->next;
                free(timer);
        }
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "fake-pair.h"
#include "module/call-abi.h"
#include "module/entry.h"
#include "module/timer.h"
#include "util/clock.h"

/* The timers of a call: when they fire, and when they do not any more. */

struct bell {
        struct brick_timer *timer;
        struct brick_call *call;
        unsigned rung;
        uint64_t again; /* set it to this time, once; 0: no */
        struct bell *frees;
        bool finishes;
};

static unsigned rung; /* of all */

static void on_fire(void *user)
{
        struct bell *bell = user;

        assert(strcmp(entry_current()->name, "caller") == 0);
        bell->rung++;
        rung++;
        if (bell->again > 0)
                timer_abi_set(bell->timer, bell->again);
        bell->again = 0;
        if (bell->frees)
                timer_abi_free(bell->frees->timer);
        if (bell->finishes)
                call_abi_finish(bell->call, 5, brick_str(""));
}

static struct bell make(struct wire *parent)
{
        return (struct bell){ .call = parent->call.handle };
}

static void bell_new(struct bell *bell)
{
        assert(timer_abi_new(bell->call, on_fire, bell, &bell->timer) == 0);
}

static void wait_for(const struct bell *bell, unsigned times)
{
        while (bell->rung < times)
                wire_run();
}

static void test_fire(void)
{
        struct wire *parent = parent_new();
        struct bell bell = make(parent), never = make(parent);
        uint64_t begin = clock_now();

        bell_new(&bell);
        bell_new(&never);
        timer_abi_set(bell.timer, begin + 5 * NSEC_PER_MSEC);
        timer_abi_set(never.timer, begin + 3600 * NSEC_PER_SEC);
        assert(bell.rung == 0);
        wait_for(&bell, 1);
        assert(clock_now() >= begin + 5 * NSEC_PER_MSEC);

        timer_abi_set(bell.timer, 0); /* at once, but not on this stack */
        assert(bell.rung == 1);
        wire_run();
        assert(bell.rung == 2);

        bell.again = 1; /* inside fire() */
        timer_abi_set(bell.timer, clock_now() + NSEC_PER_MSEC);
        wait_for(&bell, 4);

        timer_abi_set(never.timer, UINT64_MAX);
        timer_abi_set(never.timer, 0);
        timer_abi_set(never.timer, UINT64_MAX); /* although it is due */
        wire_run();
        timer_abi_set(never.timer, clock_now() + NSEC_PER_MSEC);
        timer_abi_free(never.timer);
        timer_abi_set(bell.timer, clock_now() + 3 * NSEC_PER_MSEC);
        wait_for(&bell, 5);
        assert(bell.rung == 5 && never.rung == 0);
        timer_abi_free(NULL);
        parent_finish(parent); /* frees bell.timer as well */
}

/* One fire() may take the others away. */
static void test_inside(void)
{
        struct wire *parent = parent_new();
        struct bell first = make(parent), second = make(parent), third = make(parent);

        bell_new(&third);
        bell_new(&second);
        bell_new(&first);
        first.frees = &second;
        second.frees = &first;
        timer_abi_set(first.timer, 0);
        timer_abi_set(second.timer, 0);
        wire_run();
        assert(first.rung + second.rung == 1);

        first = make(parent);
        bell_new(&first);
        third.finishes = first.finishes = true;
        timer_abi_set(third.timer, 0);
        timer_abi_set(first.timer, 0);
        wire_run();
        assert(first.rung + third.rung == 1); /* the call is finished */
        assert(parent->ended && parent->call.outcome.status == 5);
        wire_free(parent);
}

static void test_limits(void)
{
        struct wire *parent = parent_new();
        struct brick_timer *timers[32], *more;
        struct brick_call *handle = parent->call.handle;
        struct bell bell = make(parent);

        for (int i = 0; i < 32; i++)
                assert(timer_abi_new(handle, on_fire, &bell, &timers[i]) == 0);
        assert(timer_abi_new(handle, on_fire, &bell, &more) == -E2BIG);
        timer_abi_free(timers[7]);
        assert(timer_abi_new(handle, on_fire, &bell, &more) == 0);
        assert(more == timers[7]);

        /* What a brick must not do is blamed, and nothing else happens. */
        timer_abi_free(timers[3]);
        timer_abi_free(timers[3]);
        timer_abi_set(timers[3], 0);
        wire_run();
        timer_abi_set(timers[4], clock_now() + NSEC_PER_MSEC);
        timer_abi_set(timers[5], 0);
        call_ref(&parent->call);
        parent_give_back(parent);
        timer_abi_set(timers[4], 0);
        wire_run();
        (void)usleep(3000);
        wire_run();
        assert(bell.rung == 0);
        assert(timer_abi_new(handle, on_fire, &bell, &more) == -ECANCELED);
        timer_abi_free(timers[4]);
        call_drop(&parent->call);
        wire_free(parent);
}

static void *use_often(void *arg)
{
        struct bell *bells = arg;

        for (int i = 0; i < 3000; i++) {
                struct bell *bell = &bells[i % 4];

                timer_abi_set(bell->timer, i % 3 ? clock_now() + (uint64_t)(i % 7) * 1000 : 0);
                if (i % 100 == 99) {
                        timer_abi_free(bell->timer);
                        bell_new(bell);
                }
        }
        return NULL;
}

/* Set, freed and made on a thread of the brick's own, which finishes the call in the end. */
static void test_threads(void)
{
        for (int round = 0; round < 10; round++) {
                struct wire *parent = parent_new();
                struct bell bells[4];
                pthread_t thread;

                for (int i = 0; i < 4; i++) {
                        bells[i] = make(parent);
                        bell_new(&bells[i]);
                }
                rung = 0;
                assert(pthread_create(&thread, NULL, use_often, bells) == 0);
                while (pthread_tryjoin_np(thread, NULL) == EBUSY)
                        wire_run();
                wire_run();
                assert(rung > 0);
                parent_finish(parent);
        }
}

int main(void)
{
        runner_enter(NULL, NULL);
        alarms_init(&caller.alarms);
        test_fire();
        test_inside();
        test_limits();
        test_threads();
        alarms_done(&caller.alarms);
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake-pair.h"
#include "module/entry.h"
#include "module/target.h"

/* What a brick may ask about another one, and what it hears of its health. */

struct heard {
        unsigned times;
        int serving;
};

static void on_changed(void *user, int serving)
{
        struct heard *heard = user;

        assert(strcmp(entry_current()->name, "caller") == 0);
        heard->times++;
        heard->serving = serving;
}

static void set(bool good)
{
        (void)health_set(&callee.health, good, brick_str("away"));
}

static void test_answers(void)
{
        struct brick_target *target = &callee.as_target;

        assert(target_abi_type(target) == BRICK_TYPE_COMMON);
        assert(target_abi_methods(target) == callee_brick.methods);
        assert(strcmp(target_abi_name(target).ptr, "callee") == 0);
        assert(target_abi_serving(target));
        set(false);
        assert(!target_abi_serving(target));
        set(true);
}

/* The state is told once, and then each change, never on the stack of set_health(). */
static void test_watch(void)
{
        struct heard first = {}, second = {};

        assert(target_watch(&caller, &callee.as_target, on_changed, &first) == 0);
        assert(target_watch(&caller, &callee.as_target, on_changed, &second) == 0);
        assert(first.times == 0);
        wire_run();
        assert(first.times == 1 && first.serving == 1 && second.times == 1);
        set(false);
        assert(first.times == 1);
        wire_run();
        assert(first.times == 2 && first.serving == 0 && second.serving == 0);
        set(true);
        set(false); /* by the time it is told, nothing has changed */
        wire_run();
        assert(first.times == 2);
        set(true);
        target_unwatch_all(&caller); /* although the item is queued */
        wire_run();
        assert(first.times == 2 && second.times == 2);
        set(false);
        set(true);
        wire_run();
        assert(first.times == 2 && !callee.health.watches);
}

static void *change_often(void *arg)
{
        for (int i = 0; i < 2000; i++)
                set(i % 2);
        return NULL;
}

static void test_threads(void)
{
        pthread_t threads[2];

        for (int round = 0; round < 20; round++) {
                struct heard heard = {};

                assert(target_watch(&caller, &callee.as_target, on_changed, &heard) == 0);
                for (int i = 0; i < 2; i++)
                        assert(pthread_create(&threads[i], NULL, change_often, NULL) == 0);
                wire_run();
                if (round % 2)
                        target_unwatch_all(&caller);
                for (int i = 0; i < 2; i++)
                        while (pthread_tryjoin_np(threads[i], NULL) == EBUSY)
                                wire_run();
                wire_run();
                assert(heard.times > 0);
                assert(round % 2 || heard.serving == target_abi_serving(&callee.as_target));
                target_unwatch_all(&caller);
        }
        wire_run();
        set(true);
}

int main(void)
{
        runner_enter(NULL, NULL);
        health_init(&callee.health);
        test_answers();
        test_watch();
        test_threads();
        health_done(&callee.health);
        return 0;
}

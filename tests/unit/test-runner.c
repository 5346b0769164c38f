/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "fake-wire.h"
#include "module/call-abi.h"
#include "module/instance.h"
#include "module/load.h"
#include "module/runner.h"
#include "util/clock.h"

/*
 * Run queues: their order, their limits, how the polling thread is woken, and the thread of a brick
 * that takes long. Meant to be run under ThreadSanitizer as well.
 */

/* --- order and limits ------------------------------------------------------------------------- */

struct note {
        struct run_item item;
        char name;
        struct note *posts; /* when it runs */
};

static char ran[256];
static size_t n_ran;

static void run_note(struct run_item *item)
{
        struct note *note = CONTAINER_OF(item, struct note, item);

        ran[n_ran++] = note->name;
        if (note->posts)
                runner_post(&runner_polling, &note->posts->item);
}

static struct note make(char name)
{
        return (struct note){ .item.run = run_note, .name = name };
}

static void expect(const char *names)
{
        wire_run();
        assert(n_ran == strlen(names) && memcmp(ran, names, n_ran) == 0);
        n_ran = 0;
}

static void test_order(void)
{
        struct note a = make('a'), b = make('b'), c = make('c'), d = make('d');

        assert(!runner_has_work(&runner_polling));
        runner_post_last(&runner_polling, &a.item);
        runner_post(&runner_polling, &b.item);
        runner_post(&runner_polling, &c.item);
        assert(n_ran == 0);
        expect("bca");

        /* What is posted meanwhile still comes before the last. */
        b.posts = &d;
        runner_post_last(&runner_polling, &a.item);
        runner_post(&runner_polling, &b.item);
        expect("bda");
}

/* One that posts itself for ever leaves time for others. */
static void test_limit(void)
{
        struct note a = make('a');

        a.posts = &a;
        runner_post(&runner_polling, &a.item);
        runner_run(&runner_polling);
        assert(n_ran > 0 && n_ran < sizeof ran && runner_has_work(&runner_polling));
        a.posts = NULL;
        runner_run(&runner_polling);
        assert(!runner_has_work(&runner_polling));
        n_ran = 0;
}

/* --- other threads ---------------------------------------------------------------------------- */

static atomic_uint wakes;

static void wake(void *user)
{
        assert(user == &wakes);
        (void)atomic_fetch_add(&wakes, 1);
}

static void *post_some(void *arg)
{
        struct note *notes = arg;

        assert(!runner_is_here(&runner_polling));
        for (int i = 0; i < 3; i++)
                runner_post(&runner_polling, &notes[i].item);
        return NULL;
}

/* The polling thread is woken once for all that others post before it looks. */
static void test_wake(void)
{
        struct note notes[] = { make('x'), make('y'), make('z') };
        pthread_t thread;

        runner_enter(wake, &wakes);
        for (unsigned round = 1; round <= 3; round++) {
                assert(pthread_create(&thread, NULL, post_some, notes) == 0);
                assert(pthread_join(thread, NULL) == 0);
                assert(atomic_load(&wakes) == round);
                expect("xyz");
        }
        runner_enter(NULL, NULL);
}

/* --- a thread of its own ---------------------------------------------------------------------- */

static sem_t started;
static pthread_t started_on;

static int brick_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        started_on = pthread_self();
        (void)sem_post(&started);
        (void)call_abi_send(call, (struct brick_bytes){ "r", 1 });
        call_abi_finish(call, 0, brick_str(""));
        return 0;
}

static const struct conf_brick conf = { .name = "slow" };
static const struct brick_module brick = { .start = brick_start };
static const struct module module = { .brick = &brick, .path = (char *)"slow.so" };
static struct stats_brick stats;
static struct instance instance = {
        .stats = &stats,
        .conf = &conf,
        .limits = { .concurrency = 10, .arena = 1 << 20, .hold = 20 * NSEC_PER_MSEC },
        .module = &module,
        .brick = &brick,
        .type = BRICK_TYPE_LLM,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
};

static bool starts_here(size_t request_size)
{
        struct wire *wire = wire_new(&instance, BRICK_METHOD_UNARY);

        wire->call.request.len = request_size;
        call_choose_runner(&wire->call);
        assert(instance_admit(&instance, &wire->call) == ADMIT_START);
        call_post_start(&wire->call);
        wire_run();
        assert(sem_wait(&started) == 0);
        wire_free(wire);
        return pthread_equal(started_on, pthread_self());
}

static void test_long(void)
{
        assert(starts_here(1000000));
        instance_took_long(&instance, 1000000, 50 * NSEC_PER_MSEC);
        assert(starts_here(1000000)); /* once may be chance */
        instance_took_long(&instance, 900000, 50 * NSEC_PER_MSEC);
        assert(!starts_here(1000000) && !starts_here(450000));
        assert(starts_here(449999)); /* small ones are not delayed by it */
        instance_took_long(&instance, 2000000, 50 * NSEC_PER_MSEC); /* began before */
        instance_took_long(&instance, 2000000, 50 * NSEC_PER_MSEC);
        assert(!starts_here(450000));
        (void)runner_free(atomic_exchange(&instance.runner, NULL));
}

int main(void)
{
        (void)sem_init(&started, 0, 0);
        runner_enter(NULL, NULL);
        (void)clock_now();
        test_order();
        test_limit();
        test_wake();
        test_long();
        return 0;
}

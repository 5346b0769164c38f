/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/diag.h"
#include "fake-wire.h"
#include "module/call-abi.h"
#include "module/call.h"
#include "module/instance.h"
#include "module/load.h"

/*
 * What an instance takes on, what waits for it, and the threads of a blocking one. Meant to be run
 * under ThreadSanitizer as well.
 */

/* --- a brick that does what the test says ---------------------------------------------------- */

static int (*on_start)(struct brick_call *call);
static sem_t started; /* posted by start() */
static sem_t go;      /* start() waits for it, if it is told to */
static atomic_uint running, most_running, cancels;

static int brick_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        static char self;

        *ret = (struct brick_instance *)&self;
        return 0;
}

static void brick_destroy(struct brick_instance *self)
{
        assert(atomic_load(&running) == 0);
}

static int brick_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        unsigned n = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&most_running);

        while (n > most && !atomic_compare_exchange_weak(&most_running, &most, n))
                ;
        return on_start(call);
}

static void brick_cancel(struct brick_instance *self, struct brick_call *call)
{
        (void)atomic_fetch_add(&cancels, 1);
}

static const struct brick_bytes hello = { "hello", 5 };

static void answer(struct brick_call *call)
{
        (void)call_abi_send(call, hello);
        (void)atomic_fetch_sub(&running, 1);
        call_abi_finish(call, 0, brick_str(""));
}

/* Does what the polling thread would do meanwhile, if this thread stands for it. */
static void wait_for(sem_t *semaphore)
{
        struct timespec limit;

        for (unsigned ms = 0; ms < 20000; ms += 10) {
                if (runner_is_here(&runner_polling))
                        wire_run();
                (void)clock_gettime(CLOCK_REALTIME, &limit);
                limit.tv_nsec += 10000000;
                limit.tv_sec += limit.tv_nsec / 1000000000;
                limit.tv_nsec %= 1000000000;
                if (sem_timedwait(semaphore, &limit) == 0)
                        return;
        }
        assert(!"nobody came");
}

static struct brick_module brick = {
        .type = BRICK_TYPE_LLM,
        .create = brick_create,
        .destroy = brick_destroy,
        .start = brick_start,
        .cancel = brick_cancel,
};
static const struct module module = { .brick = &brick, .path = (char *)"tested.so" };
static struct conf_brick conf = { .name = "tested" };
static struct stats_brick stats;

static struct instance *make(bool blocking, unsigned concurrency, unsigned queue, unsigned threads)
{
        struct instance *instance;
        struct diag *diag;

        brick.flags = blocking ? BRICK_FLAG_BLOCKING : 0;
        conf.limits = (struct conf_limits){ concurrency, queue, threads, 0, 1 << 20 };
        atomic_store(&most_running, 0);
        atomic_store(&cancels, 0);
        stats = (struct stats_brick){};
        assert(diag_new(&diag, "test", "", 0) == 0);
        assert(instance_new(&instance, &conf, &module, NULL, "/", NULL, 0, &stats, diag) == 0);
        (void)diag_free(diag);
        return instance;
}

static enum admission admit(struct instance *instance, struct wire *wire)
{
        enum admission admission = instance_admit(instance, &wire->call);

        if (admission == ADMIT_START && runner_is_here(&runner_polling))
                call_start(&wire->call);
        else if (admission == ADMIT_START)
                call_post_start(&wire->call);
        return admission;
}

/* --- admission ------------------------------------------------------------------------------- */

static int start_keep(struct brick_call *call)
{
        (void)sem_post(&started);
        return 0;
}

static void test_queue_of_async(void)
{
        struct instance *instance = make(false, 1, 1, 1);
        struct wire *w[3];

        on_start = start_keep;
        for (int i = 0; i < 3; i++)
                w[i] = wire_new(instance, BRICK_METHOD_UNARY);
        assert(admit(instance, w[0]) == ADMIT_START);
        assert(admit(instance, w[1]) == ADMIT_QUEUED);
        assert(admit(instance, w[2]) == ADMIT_FULL);
        wait_for(&started);
        assert(sem_trywait(&started) < 0 && errno == EAGAIN);

        answer(w[0]->call.handle); /* makes room: the thread of the instance starts the next */
        wait_for(&started);
        assert(atomic_load(&instance->stats->queued) == 0);
        answer(w[1]->call.handle);
        assert(admit(instance, w[2]) == ADMIT_START);
        wait_for(&started);
        answer(w[2]->call.handle);
        for (int i = 0; i < 3; i++)
                wire_free(w[i]);
        assert(atomic_load(&instance->stats->in_flight) == 0);
        (void)instance_free(instance);
}

/* A call whose peer has gone gives its place in the queue to another, and is over at once. */
static void test_cancelled_in_queue(void)
{
        struct instance *instance = make(false, 1, 2, 1);
        struct wire *w[4];

        on_start = start_keep;
        for (int i = 0; i < 4; i++)
                w[i] = wire_new(instance, BRICK_METHOD_UNARY);
        assert(admit(instance, w[0]) == ADMIT_START);
        assert(admit(instance, w[1]) == ADMIT_QUEUED);
        assert(admit(instance, w[2]) == ADMIT_QUEUED);
        assert(admit(instance, w[3]) == ADMIT_FULL);

        call_cancel(&w[2]->call); /* the last, then the first of the queue */
        assert(w[2]->ended && w[2]->call.outcome.status == STATUS_CANCELLED);
        assert(atomic_load(&w[2]->call.refs) == 1);
        assert(admit(instance, w[3]) == ADMIT_QUEUED);
        call_cancel(&w[1]->call);
        assert(w[1]->ended && atomic_load(&instance->stats->queued) == 1);

        wait_for(&started);
        answer(w[0]->call.handle);
        wait_for(&started);
        answer(w[3]->call.handle);
        assert(atomic_load(&cancels) == 0);
        for (int i = 0; i < 4; i++)
                wire_free(w[i]);
        (void)instance_free(instance);
}

static int start_wait(struct brick_call *call)
{
        (void)sem_post(&started);
        wait_for(&go);
        answer(call);
        return 0;
}

/* --- shares ---------------------------------------------------------------------------------- */

static struct wire *wire_for(struct instance *instance, const char *client, uint64_t connection)
{
        struct wire *wire = wire_new(instance, BRICK_METHOD_UNARY);

        wire->party.connection = connection;
        (void)strncpy(wire->party.client, client, sizeof wire->party.client - 1);
        return wire;
}

enum { PLACES = 64, QUEUE = 8, HOG = PLACES + QUEUE };

/* A client takes all that it can get: all of the places, for nobody else asks. */
static void fill(struct instance *instance, struct wire *hog[static HOG])
{
        for (int i = 0; i < HOG; i++) {
                hog[i] = wire_for(instance, "hog", 1);
                assert(admit(instance, hog[i]) != ADMIT_FULL);
        }
}

/* Another then gets a place at once, for some of them have only been waiting. */
static void test_reserve(void)
{
        struct instance *instance = make(false, PLACES, QUEUE, 1);
        struct wire *hog[HOG], *own = wire_for(instance, "own", 2), *late;

        on_start = start_keep;
        fill(instance, hog);
        late = wire_for(instance, "hog", 1);
        assert(admit(instance, late) == ADMIT_FULL);
        assert(admit(instance, own) == ADMIT_START);
        wait_for(&started);
        answer(own->call.handle);
        assert(!late->ended && atomic_load(&instance->stats->in_flight) < PLACES);

        /* As places come free, the others have their turns. */
        for (int i = 0; i < HOG; i++) {
                wait_for(&started);
                answer(hog[i]->call.handle);
        }
        for (int i = 0; i < HOG; i++)
                wire_free(hog[i]);
        wire_free(own);
        wire_free(late);
        assert(atomic_load(&instance->stats->in_flight) == 0);
        assert(atomic_load(&instance->stats->queued) == 0);
        (void)instance_free(instance);
}

/* A full queue has room for one who has nothing in it, and his turn comes before others' second. */
static void test_full_queue(void)
{
        struct instance *instance = make(true, 1, 3, 1);
        struct wire *hog[4], *own = wire_for(instance, "own", 2);

        on_start = start_wait;
        for (int i = 0; i < 4; i++) {
                hog[i] = wire_for(instance, "hog", 1);
                assert(admit(instance, hog[i]) == ADMIT_QUEUED);
                if (i == 0)
                        wait_for(&started);
        }
        assert(admit(instance, own) == ADMIT_QUEUED);
        assert(hog[3]->ended && hog[3]->busy);
        assert(hog[3]->call.outcome.status == STATUS_RESOURCE_EXHAUSTED);
        assert(atomic_load(&instance->stats->queued) == 3);

        for (int i = 0; i < 3; i++) { /* the running one, the hog's next, and then: */
                assert(!own->ended);
                (void)sem_post(&go);
                if (i < 2)
                        wait_for(&started);
        }
        wire_free(own);
        wait_for(&started);
        (void)sem_post(&go);
        for (int i = 0; i < 4; i++)
                wire_free(hog[i]);
        (void)instance_free(instance);
}

/* --- blocking bricks ------------------------------------------------------------------------- */

static void test_pool(void)
{
        struct instance *instance = make(true, 1000, 1, 2);
        struct wire *w[4];

        on_start = start_wait;
        for (int i = 0; i < 4; i++)
                w[i] = wire_new(instance, BRICK_METHOD_UNARY);
        for (int i = 0; i < 3; i++)
                assert(admit(instance, w[i]) == ADMIT_QUEUED);
        wait_for(&started);
        wait_for(&started);
        assert(admit(instance, w[3]) == ADMIT_FULL);
        for (int i = 0; i < 3; i++)
                (void)sem_post(&go);
        wait_for(&started);
        for (int i = 0; i < 4; i++)
                wire_free(w[i]);
        assert(atomic_load(&most_running) == 2);
        (void)instance_free(instance);
}

static int start_flood(struct brick_call *call)
{
        char bytes[400] = { 0 };
        struct brick_bytes big = { bytes, sizeof bytes };
        int r = 0;

        for (int i = 0; r == 0 && i < 10; i++) {
                if (i == 2)
                        (void)sem_post(&started); /* the window is full */
                r = call_abi_send(call, big);
        }
        (void)atomic_fetch_sub(&running, 1);
        call_abi_finish(call, r == 0 ? 0 : 10, brick_str(""));
        return 0;
}

static struct wire *flood(struct instance *instance)
{
        struct wire *wire = wire_new(instance, BRICK_METHOD_OUTPUT_STREAMING);

        on_start = start_flood;
        wire->hold = true;
        assert(admit(instance, wire) == ADMIT_QUEUED);
        wait_for(&started);
        return wire;
}

/* Inside call_send(), until the peer reads again or has gone. */
static void test_wait_for_window(void)
{
        struct instance *instance = make(true, 1, 0, 1);
        struct wire *wire = flood(instance);

        wire_release(wire);
        wire_free(wire);
        wire = flood(instance);
        call_cancel(&wire->call);
        wire_free(wire);
        (void)instance_free(instance);
}

static atomic_int last_read;

static int start_read(struct brick_call *call)
{
        struct brick_bytes message;
        int r;

        do {
                (void)sem_post(&started);
                r = call_abi_read(call, &message);
        } while (r > 0);
        atomic_store(&last_read, r);
        answer(call);
        return 0;
}

static void test_read(void)
{
        static const struct brick_bytes message = { "m", 1 };
        struct instance *instance = make(true, 1, 0, 1);
        struct wire *wire = wire_new(instance, BRICK_METHOD_INPUT_STREAMING);

        on_start = start_read;
        wire->incoming = 3;
        assert(admit(instance, wire) == ADMIT_QUEUED);
        for (int i = 0; i < 4; i++)
                wait_for(&started);
        wire_free(wire);
        assert(atomic_load(&last_read) == 0);

        /* A message that comes late; then the peer is gone. */
        wire = wire_new(instance, BRICK_METHOD_INPUT_STREAMING);
        wire->silent = true;
        assert(admit(instance, wire) == ADMIT_QUEUED);
        wait_for(&started);
        for (bool wanted = false; !wanted;) {
                (void)pthread_mutex_lock(&wire->call.lock);
                wanted = wire->call.inbox == INBOX_WANTED;
                call_deliver(&wire->call, &message);
                (void)pthread_mutex_unlock(&wire->call.lock);
        }
        wait_for(&started);
        call_cancel(&wire->call);
        wire_free(wire);
        assert(atomic_load(&last_read) == -ECANCELED);
        (void)instance_free(instance);
}

/* --- many threads ---------------------------------------------------------------------------- */

enum { CALLERS = 4, CALLS = 500, LIMIT = 3 };

static int start_answer(struct brick_call *call)
{
        (void)sched_yield();
        answer(call);
        return 0;
}

static void *call_often(void *arg)
{
        struct instance *instance = arg;

        for (unsigned i = 0; i < CALLS; i++) {
                struct wire *wire = wire_new(instance, BRICK_METHOD_UNARY);
                const struct outcome busy = outcome_busy();

                if (admit(instance, wire) == ADMIT_FULL)
                        call_refuse(&wire->call, &busy);
                if (i % 3 == 0)
                        call_cancel(&wire->call);
                wire_free(wire);
        }
        return NULL;
}

static void test_crowd(bool blocking)
{
        struct instance *instance = make(blocking, LIMIT, 1, LIMIT);
        pthread_t threads[CALLERS];

        on_start = start_answer;
        for (int i = 0; i < CALLERS; i++)
                assert(pthread_create(&threads[i], NULL, call_often, instance) == 0);
        for (int i = 0; i < CALLERS; i++)
                while (pthread_tryjoin_np(threads[i], NULL) == EBUSY)
                        wire_run();
        wire_run();
        assert(atomic_load(&most_running) <= LIMIT);
        assert(atomic_load(&instance->stats->in_flight) == 0 &&
               atomic_load(&instance->stats->queued) == 0);
        (void)instance_free(instance);
}

int main(void)
{
        runner_enter(NULL, NULL);
        (void)sem_init(&started, 0, 0);
        (void)sem_init(&go, 0, 0);
        test_queue_of_async();
        test_cancelled_in_queue();
        test_reserve();
        test_full_queue();
        test_pool();
        test_wait_for_window();
        test_read();
        test_crowd(false);
        test_crowd(true);
        return 0;
}

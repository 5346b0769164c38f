/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "fake-wire.h"
#include "module/call-abi.h"
#include "module/call.h"
#include "module/instance.h"
#include "module/load.h"

/*
 * The life of a call, against a transport and a brick of the test's own: every way to end one, and
 * finish, cancellation and delivery racing each other. Meant to be run under ThreadSanitizer as
 * well.
 */

/* --- a brick that does what the test says
 * ---------------------------------------------------------- */

static int (*on_start)(struct brick_call *call, uint32_t method);
static void (*on_message)(struct brick_call *call, const struct brick_bytes *message);
static atomic_uint writables, cancels, destroyed;

static int brick_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        return on_start(call, method);
}

static void brick_message(struct brick_instance *self, struct brick_call *call,
                          const struct brick_bytes *message)
{
        on_message(call, message);
}

static void brick_writable(struct brick_instance *self, struct brick_call *call)
{
        atomic_fetch_add(&writables, 1);
}

static void brick_cancel(struct brick_instance *self, struct brick_call *call)
{
        atomic_fetch_add(&cancels, 1);
}

static void data_destroy(void *data)
{
        atomic_fetch_add(&destroyed, 1);
}

static const struct conf_brick conf = {
        .name = "tested",
        .limits = { .concurrency = 1000, .queue = 10, .threads = 1, .arena = 1 << 20 },
};
static const struct brick_module brick = {
        .start = brick_start,
        .message = brick_message,
        .writable = brick_writable,
        .cancel = brick_cancel,
};
static const struct module module = { .brick = &brick, .path = (char *)"tested.so" };
static struct stats_brick instance_stats;
static struct instance instance = {
        .stats = &instance_stats,
        .conf = &conf,
        .module = &module,
        .brick = &brick,
        .type = BRICK_TYPE_LLM,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
};

static struct wire *wire_make(uint32_t method)
{
        instance.limits = conf.limits;
        return wire_new(&instance, method);
}

static void wire_start(struct wire *wire)
{
        assert(instance_admit(&instance, &wire->call) == ADMIT_START);
        call_start(&wire->call);
}

static void wire_done(struct wire *wire)
{
        wire_run();
        assert(atomic_load(&wire->call.refs) == 1);
        wire_free(wire);
        assert(atomic_load(&instance_stats.in_flight) == 0);
}

static const struct brick_bytes hello = { "hello", 5 };

/* --- one thread
 * --------------------------------------------------------------------------------------- */

static int start_answer(struct brick_call *call, uint32_t method)
{
        struct wire *wire = wire_of(handle_find(call));

        call_abi_set_data(call, call, data_destroy);
        assert(call_abi_send(call, hello) == 0);
        assert(wire->sent == 0); /* gathers */
        call_abi_finish(call, 0, brick_str(""));
        assert(wire->sent == 1 && wire->ended); /* all at once */
        return 0;
}

static void test_inline(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        on_start = start_answer;
        atomic_store(&destroyed, 0);
        wire_start(wire);
        assert(wire->sent == 1 && wire->ended && wire->call.outcome.status == 0);
        assert(atomic_load(&destroyed) == 0);
        wire_done(wire);
        assert(atomic_load(&destroyed) == 1);
}

static int start_refuse(struct brick_call *call, uint32_t method)
{
        return -EIO;
}

static int start_unimplemented(struct brick_call *call, uint32_t method)
{
        return -ENOSYS;
}

static int start_nothing(struct brick_call *call, uint32_t method)
{
        call_abi_finish(call, 0, brick_str(""));
        return 0;
}

static int start_bad(struct brick_call *call, uint32_t method)
{
        assert(call_abi_send(call, (struct brick_bytes){ "bad", 3 }) == -EBADMSG);
        assert(call_abi_send(call, hello) == -ECANCELED);
        assert(call_abi_cancelled(call));
        call_abi_finish(call, 0, brick_str(""));
        return 0;
}

static int start_too_large(struct brick_call *call, uint32_t method)
{
        assert(!call_abi_reserve(call, 100001));
        assert(call_abi_reserve(call, 100000));
        assert(call_abi_commit(call, 10) == 0);
        assert(call_abi_commit(call, 10) == -EINVAL);
        call_abi_finish(call, 99, brick_str("not a status"));
        return 0;
}

static int start_fail_200(struct brick_call *call, uint32_t method)
{
        call_abi_fail(call, 200, brick_str("fine"), brick_str(""));
        return 0;
}

static void check_outcome(uint32_t method, int (*start)(struct brick_call *, uint32_t),
                          int32_t code, uint32_t status)
{
        struct wire *wire = wire_make(method);

        on_start = start;
        wire_start(wire);
        assert(wire->ended);
        assert(wire->call.outcome.in_band == (code != 0));
        assert(code == 0 || wire->call.outcome.code == code);
        assert(wire->call.outcome.status == status);
        wire_done(wire);
}

static void test_outcomes(void)
{
        check_outcome(BRICK_METHOD_UNARY, start_refuse, 13, 0);
        check_outcome(BRICK_METHOD_UNARY, start_unimplemented, 12, 0);
        check_outcome(BRICK_METHOD_UNARY, start_nothing, 13, 0);
        check_outcome(BRICK_METHOD_SERVICE_INFO, start_nothing, 12, 0);
        check_outcome(BRICK_METHOD_OUTPUT_STREAMING, start_nothing, 0, 0);
        check_outcome(BRICK_METHOD_UNARY, start_bad, 13, 0);
        check_outcome(BRICK_METHOD_UNARY, start_too_large, 0, 2);
        check_outcome(BRICK_METHOD_UNARY, start_fail_200, 13, 0);
}

static int start_keep(struct brick_call *call, uint32_t method)
{
        return 0;
}

/* A client that has its answer finds the place free for its next call. */
static void test_place(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        on_start = start_keep;
        wire_start(wire);
        assert(call_abi_send(wire->call.handle, hello) == 0);
        call_abi_finish(wire->call.handle, 0, brick_str(""));
        assert(wire->ended && wire->in_flight == 0);
        wire_done(wire);
}

/* The window: full, the brick is told to wait; half empty, it is told once. */
static void test_window(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_OUTPUT_STREAMING);
        char bytes[400] = { 0 };
        struct brick_bytes big = { bytes, sizeof bytes };
        struct reply *reply;

        on_start = start_keep;
        atomic_store(&writables, 0);
        wire_start(wire);
        wire->hold = true;
        assert(call_abi_send(wire->call.handle, big) == 0);
        assert(call_abi_send(wire->call.handle, big) == 0);
        assert(call_abi_send(wire->call.handle, big) == -EAGAIN);
        assert(atomic_load(&writables) == 0);

        (void)pthread_mutex_lock(&wire->call.lock);
        while ((reply = call_take_reply(&wire->call))) {
                call_sent(&wire->call, reply->size);
                free(reply);
        }
        (void)pthread_mutex_unlock(&wire->call.lock);
        assert(atomic_load(&writables) == 0);
        wire_run();
        assert(atomic_load(&writables) == 1);
        assert(call_abi_send(wire->call.handle, big) == 0);
        call_abi_finish(wire->call.handle, 0, brick_str(""));
        wire_done(wire);
}

static unsigned messages;

static void count_message(struct brick_call *call, const struct brick_bytes *message)
{
        if (!message) {
                call_abi_finish(call, 0, brick_str(""));
                return;
        }
        messages++;
        call_abi_recv(call); /* asked for while this one is looked at: comes after it */
        assert(message->len == 1);
}

static int start_receive(struct brick_call *call, uint32_t method)
{
        call_abi_recv(call);
        assert(messages == 0);
        return 0;
}

static void test_request_stream(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_BIDI_STREAMING);

        wire->incoming = 5;
        messages = 0;
        on_start = start_receive;
        on_message = count_message;
        wire_start(wire);
        assert(messages == 0); /* call_recv() has entered nobody */
        wire_run();
        assert(messages == 5 && wire->ended);
        wire_done(wire);
}

/* Cancellation is told once, after start(), and only while the brick has the call. */
static int start_cancelled(struct brick_call *call, uint32_t method)
{
        call_cancel(handle_find(call));
        assert(atomic_load(&cancels) == 0);
        return 0;
}

static void test_cancel(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        atomic_store(&cancels, 0);
        on_start = start_cancelled;
        wire_start(wire);
        wire_run();
        assert(atomic_load(&cancels) == 1);
        call_cancel(&wire->call);
        wire_run();
        assert(atomic_load(&cancels) == 1);
        assert(call_abi_send(wire->call.handle, hello) == -ECANCELED);
        call_abi_finish(wire->call.handle, 0, brick_str(""));
        wire_done(wire);
}

static void test_cancelled_before_start(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        call_cancel(&wire->call);
        on_start = NULL; /* would crash */
        wire_start(wire);
        assert(wire->ended && wire->call.outcome.status == 1);
        wire_done(wire);
}

/* A brick that waits for room is told that it waits in vain: it may have no cancel(). */
static void test_cancelled_while_starved(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_OUTPUT_STREAMING);
        char bytes[900] = { 0 };
        struct brick_bytes big = { bytes, sizeof bytes };

        on_start = start_keep;
        atomic_store(&writables, 0);
        wire_start(wire);
        wire->hold = true;
        assert(call_abi_send(wire->call.handle, big) == 0);
        assert(call_abi_send(wire->call.handle, big) == -EAGAIN);
        call_cancel(&wire->call);
        wire_run();
        assert(atomic_load(&writables) == 1);
        assert(call_abi_send(wire->call.handle, big) == -ECANCELED);
        call_abi_finish(wire->call.handle, 0, brick_str(""));
        wire_done(wire);
}

/* What the brick has never seen it is not told to give up. */
static void test_refused_then_cancelled(void)
{
        const struct outcome busy = outcome_busy();
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        atomic_store(&cancels, 0);
        call_refuse(&wire->call, &busy);
        call_cancel(&wire->call);
        assert(wire->ended && wire->call.outcome.status == STATUS_RESOURCE_EXHAUSTED);
        assert(atomic_load(&cancels) == 0);
        wire_done(wire);
}

/* What a brick says at the end is not lost to the limit of its memory. */
static int start_greedy(struct brick_call *call, uint32_t method)
{
        while (call_abi_alloc(call, 1000, 1))
                ;
        call_abi_fail(call, 2003, brick_str("the memory is used up"), brick_str(""));
        return 0;
}

static void test_last_words(void)
{
        struct wire *wire = wire_make(BRICK_METHOD_UNARY);

        on_start = start_greedy;
        wire_start(wire);
        assert(wire->call.outcome.code == 2003 && wire->call.outcome.message.len == 21);
        wire_done(wire);
}

/* brickd decides while the brick still has the call, which then only gives it back. */
static void test_overruled(void)
{
        static const struct outcome over = { .status = 4 };
        struct wire *wire = wire_make(BRICK_METHOD_OUTPUT_STREAMING);

        on_start = start_keep;
        wire_start(wire);
        call_refuse(&wire->call, &over);
        assert(wire->ended);
        assert(call_abi_send(wire->call.handle, hello) == -ECANCELED);
        call_abi_fail(wire->call.handle, 5, brick_str("too late"), brick_str(""));
        assert(wire->call.outcome.status == 4 && !wire->call.outcome.in_band);
        wire_done(wire);
}

/* --- many threads
 * --------------------------------------------------------------------------------------- */

enum { RACES = 1000 };

static void *race_finish(void *arg)
{
        struct brick_call *call = arg;

        for (int i = 0; i < 3; i++)
                (void)call_abi_send(call, hello);
        call_abi_finish(call, 0, brick_str("done"));
        return NULL;
}

static void *race_cancel(void *arg)
{
        struct call *call = arg;

        call_cancel(call);
        call_unref(call);
        return NULL;
}

static int start_thread(struct brick_call *call, uint32_t method)
{
        pthread_t thread;

        call_abi_set_data(call, call, data_destroy);
        assert(pthread_create(&thread, NULL, race_finish, call) == 0);
        (void)pthread_detach(thread);
        return 0;
}

static void test_races(void)
{
        on_start = start_thread;
        atomic_store(&destroyed, 0);
        for (unsigned i = 0; i < RACES; i++) {
                struct wire *wire = wire_make(BRICK_METHOD_OUTPUT_STREAMING);
                pthread_t thread;

                call_ref(&wire->call); /* the canceller's */
                wire_start(wire);
                assert(pthread_create(&thread, NULL, race_cancel, &wire->call) == 0);
                assert(pthread_join(thread, NULL) == 0);
                while (atomic_load(&wire->call.refs) > 1)
                        wire_run();
                assert(wire->call.settled && wire->call.side == SIDE_DONE);
                wire_done(wire);
        }
        assert(atomic_load(&destroyed) == RACES);
}

int main(void)
{
        runner_enter(NULL, NULL);
        test_inline();
        test_outcomes();
        test_place();
        test_window();
        test_request_stream();
        test_cancel();
        test_cancelled_before_start();
        test_cancelled_while_starved();
        test_refused_then_cancelled();
        test_last_words();
        test_overruled();
        test_races();
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "fake-wire.h"
#include "module/call-abi.h"
#include "module/child.h"
#include "module/entry.h"
#include "module/instance.h"
#include "module/load.h"
#include "util/clock.h"

/*
 * Calls of one brick to another: all shapes, all ways to end. The caller is this file, on behalf of
 * a parent call that a fake wire has made. Meant to be run under ThreadSanitizer as well.
 */

/* --- the callee ------------------------------------------------------------------------------ */

static int (*on_start)(struct brick_call *call);
static void (*on_message)(struct brick_call *call, const struct brick_bytes *message);
static _Atomic(struct brick_call *) callee_call; /* the last that started */
static atomic_uint callee_cancels, callee_messages;

static int callee_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        atomic_store(&callee_call, call);
        return on_start(call);
}

static void callee_message(struct brick_instance *self, struct brick_call *call,
                           const struct brick_bytes *message)
{
        on_message(call, message);
}

static void callee_writable(struct brick_instance *self, struct brick_call *call)
{
}

static void callee_cancel(struct brick_instance *self, struct brick_call *call)
{
        (void)atomic_fetch_add(&callee_cancels, 1);
        call_abi_finish(call, 0, brick_str(""));
}

#define METHODS                                                           \
        (1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_OUTPUT_STREAMING | \
         1u << BRICK_METHOD_INPUT_STREAMING | 1u << BRICK_METHOD_BIDI_STREAMING)

static const struct brick_module callee_brick = {
        .methods = METHODS,
        .start = callee_start,
        .message = callee_message,
        .writable = callee_writable,
        .cancel = callee_cancel,
};
static const struct module callee_module = { .brick = &callee_brick, .path = (char *)"callee.so" };
static const struct conf_brick callee_conf = {
        .name = "callee",
        .limits = { .concurrency = 1000, .queue = 10, .threads = 1, .arena = 1 << 20 },
};
static struct stats_brick callee_stats;
static struct instance callee = {
        .stats = &callee_stats,
        .conf = &callee_conf,
        .module = &callee_module,
        .brick = &callee_brick,
        .type = BRICK_TYPE_COMMON,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .as_target = { &callee },
};

/* --- the caller ------------------------------------------------------------------------------ */

static int caller_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        return 0;
}

static const struct brick_module caller_brick = { .start = caller_start };
static const struct module caller_module = { .brick = &caller_brick, .path = (char *)"caller.so" };
static const struct conf_brick caller_conf = { .name = "caller" };
static struct stats_brick caller_stats;
static struct instance caller = {
        .stats = &caller_stats,
        .conf = &caller_conf,
        .module = &caller_module,
        .brick = &caller_brick,
        .type = BRICK_TYPE_COMMON,
        .limits = { .concurrency = 1000 },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
};

/* What one child has told. */
struct told {
        unsigned messages;
        size_t bytes;
        unsigned writables;
        atomic_uint dones;
        uint32_t status;
        int32_t code;
};

static void on_reply(void *user, struct brick_bytes message)
{
        struct told *told = user;

        assert(strcmp(entry_current()->name, "caller") == 0);
        told->messages++;
        told->bytes += message.len;
}

static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct told *told = user;

        assert(strcmp(entry_current()->name, "caller") == 0);
        told->status = outcome->status;
        told->code = outcome->code;
        (void)atomic_fetch_add(&told->dones, 1);
}

static void on_writable(void *user)
{
        struct told *told = user;

        told->writables++;
}

static const struct brick_child_ops ops = {
        .struct_size = sizeof ops,
        .message = on_reply,
        .done = on_done,
        .writable = on_writable,
};

static const struct brick_bytes hello = { "hello", 5 };

/* A call that the caller works on. */
static struct wire *parent_new(void)
{
        struct wire *wire = wire_new(&caller, BRICK_METHOD_UNARY);

        assert(instance_admit(&caller, &wire->call) == ADMIT_START);
        call_start(&wire->call);
        wire->call.identity = brick_str("web");
        return wire;
}

static void parent_give_back(struct wire *parent)
{
        call_abi_finish(parent->call.handle, 0, brick_str(""));
        wire_run();
}

static void parent_finish(struct wire *parent)
{
        parent_give_back(parent);
        wire_free(parent);
        assert(atomic_load(&caller_stats.in_flight) == 0);
        assert(atomic_load(&callee_stats.in_flight) == 0);
}

/* What the functions of the ABI do is seen once the runner has run. */

static void child_recv(struct brick_child *child)
{
        child_abi_recv(child);
        wire_run();
}

static int child_send(struct brick_child *child)
{
        int r = child_abi_send(child, hello);

        wire_run();
        return r;
}

static void child_close(struct brick_child *child)
{
        child_abi_close(child);
        wire_run();
}

static void child_cancel(struct brick_child *child)
{
        child_abi_cancel(child);
        wire_run();
}

static void child_free(struct brick_child *child)
{
        child_abi_free(child);
        wire_run();
}

static void callee_recv(void)
{
        call_abi_recv(callee_call);
        wire_run();
}

static void cancel(struct wire *wire)
{
        call_cancel(&wire->call);
        wire_run();
}

static struct brick_child *start(struct wire *parent, uint32_t method, struct told *told)
{
        struct brick_child *child;

        *told = (struct told){};
        callee.limits = callee_conf.limits;
        assert(child_abi_start(parent->call.handle, &callee.as_target, method, hello, &ops, told,
                               &child) == 0);
        assert(atomic_load(&told->dones) == 0); /* on this stack nobody is told anything */
        wire_run();
        return child;
}

static void check_done(const struct told *told, uint32_t status, int32_t code)
{
        assert(atomic_load(&told->dones) == 1);
        assert(told->status == status && told->code == code);
}

/* --- one thread ------------------------------------------------------------------------------ */

static int start_keep(struct brick_call *call)
{
        return 0;
}

static int start_answer(struct brick_call *call)
{
        struct brick_bytes request = call_abi_request(call);
        struct brick_str value = call_abi_metadata(call, "key");
        struct brick_str identity = call_abi_identity(call);

        assert(strcmp(entry_current()->name, "callee") == 0);
        assert(identity.len == 3 && memcmp(identity.ptr, "web", 3) == 0);
        assert(request.len == 5 && memcmp(request.ptr, "hello", 5) == 0);
        assert(value.len == 5 && call_abi_peer(call).len == 4);
        assert(call_abi_send(call, hello) == 0);
        call_abi_finish(call, 0, brick_str(""));
        return 0;
}

static void test_unary(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_answer;
        child = start(parent, BRICK_METHOD_UNARY, &told);
        assert(told.messages == 0 && atomic_load(&told.dones) == 0);
        child_recv(child);
        assert(told.messages == 1 && told.bytes == 5);
        check_done(&told, 0, 200);
        child_recv(child); /* does nothing */
        child_cancel(child);
        child_free(child);
        parent_finish(parent);
}

static int start_fail(struct brick_call *call)
{
        (void)call_abi_send(call, hello);
        call_abi_fail(call, 2003, brick_str("no"), brick_str(""));
        return 0;
}

static void test_refusals(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_fail; /* what it has sent before is not told */
        child = start(parent, BRICK_METHOD_UNARY, &told);
        child_recv(child);
        assert(told.messages == 0);
        check_done(&told, 0, 2003);
        child_free(child);

        child = start(parent, BRICK_METHOD_SERVICE_INFO, &told);
        check_done(&told, 0, 12);
        child_free(child);

        atomic_store(&callee_stats.in_flight, 1010);
        child = start(parent, BRICK_METHOD_UNARY, &told);
        check_done(&told, STATUS_RESOURCE_EXHAUSTED, 200);
        child_free(child);
        atomic_store(&callee_stats.in_flight, 0);

        assert(child_abi_start(parent->call.handle, &callee.as_target, 99, hello, &ops, &told,
                               &child) == -EINVAL);
        cancel(parent);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, &told, &child) == -ECANCELED);
        parent_finish(parent);
}

static int start_stream(struct brick_call *call)
{
        for (int i = 0; i < 3; i++)
                assert(call_abi_send(call, hello) == 0);
        call_abi_fail(call, 2003, brick_str("the rest is lost"), brick_str(""));
        return 0;
}

/* Replies come as they are asked for; the failure after them. */
static void test_output_stream(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_stream;
        child = start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
        for (unsigned i = 1; i <= 3; i++) {
                assert(atomic_load(&told.dones) == 0);
                child_recv(child);
                assert(told.messages == i);
        }
        check_done(&told, 0, 2003);
        child_free(child);
        parent_finish(parent);
}

/* A callee that has finished, and replies that nobody asks for any more. */
static void test_unread(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_stream;
        child = start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
        child_recv(child);
        child_free(child);
        assert(told.messages == 1 && atomic_load(&told.dones) == 1);
        parent_finish(parent);
}

static void count_message(struct brick_call *call, const struct brick_bytes *message)
{
        if (!message) {
                (void)call_abi_send(call, hello);
                call_abi_finish(call, 0, brick_str(""));
                return;
        }
        (void)atomic_fetch_add(&callee_messages, 1);
}

/* One message at a time: the next when the callee has seen the last. */
static void test_input_stream(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        on_message = count_message;
        atomic_store(&callee_messages, 0);
        child = start(parent, BRICK_METHOD_INPUT_STREAMING, &told);
        child_recv(child);
        assert(child_send(child) == 0);
        assert(child_send(child) == -EAGAIN);
        assert(told.writables == 0);
        callee_recv();
        assert(atomic_load(&callee_messages) == 1 && told.writables == 1);
        assert(child_send(child) == 0);
        child_close(child);
        assert(child_send(child) == -EINVAL);
        callee_recv();
        assert(atomic_load(&callee_messages) == 2 && atomic_load(&told.dones) == 0);
        callee_recv();
        assert(told.messages == 1);
        check_done(&told, 0, 200);
        assert(child_send(child) == -ECANCELED);
        child_free(child);
        parent_finish(parent);
}

static void test_bidi(void)
{
        struct wire *parent = parent_new();
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        on_message = count_message;
        child = start(parent, BRICK_METHOD_BIDI_STREAMING, &told);
        callee_recv();
        assert(call_abi_send(callee_call, hello) == 0);
        child_recv(child);
        assert(told.messages == 1);
        assert(child_send(child) == 0);
        callee_recv();
        child_recv(child);
        child_close(child);
        assert(told.messages == 2);
        check_done(&told, 0, 200);
        child_free(child);
        parent_finish(parent);
}

/* --- giving up ------------------------------------------------------------------------------- */

/* By name, by giving up the handle, with the parent's cancellation, with its end. */
static void test_cancel(void)
{
        for (int how = 0; how < 4; how++) {
                struct wire *parent = parent_new();
                struct brick_child *child;
                struct told told;

                on_start = start_keep;
                atomic_store(&callee_cancels, 0);
                child = start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
                child_recv(child);
                if (how == 0)
                        child_cancel(child);
                else if (how == 1)
                        child_free(child);
                else if (how == 2)
                        cancel(parent);
                else
                        parent_give_back(parent);
                assert(atomic_load(&callee_cancels) == 1);
                assert(atomic_load(&told.dones) == 1);
                if (how != 1)
                        child_free(child);
                if (how == 3)
                        wire_free(parent);
                else
                        parent_finish(parent);
        }
}

/* While it waits for its callee to have room: over at once, and the callee never hears of it. */
static void test_cancel_in_queue(void)
{
        struct wire *parent = parent_new();
        struct brick_child *first, *second;
        struct told a, b;

        on_start = start_keep;
        atomic_store(&callee_cancels, 0);
        first = start(parent, BRICK_METHOD_UNARY, &a);
        callee.limits.concurrency = 1;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, memset(&b, 0, sizeof b), &second) == 0);
        assert(atomic_load(&callee_stats.queued) == 1);
        child_free(second);
        check_done(&b, STATUS_CANCELLED, 200);
        assert(atomic_load(&callee_stats.queued) == 0 && atomic_load(&callee_cancels) == 0);
        child_free(first);
        assert(atomic_load(&callee_cancels) == 1);
        parent_finish(parent);
}

/* A callee has limits.timeout for calls of other bricks as well: the call ends then, in the queue
 * or in the brick, and the callee sees when. */
static void test_timeout(void)
{
        const uint64_t before = clock_now();
        struct wire *parent = parent_new();
        struct brick_child *running, *waiting, *quick;
        struct told a = {}, b = {}, c = {};

        timeouts_init(&callee.timeouts, child_expire);
        on_start = start_answer;
        callee.limits.timeout = 50 * NSEC_PER_MSEC;
        atomic_store(&callee_cancels, 0);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, &c, &quick) == 0);
        wire_run();
        child_recv(quick);
        check_done(&c, 0, 200); /* it was in time */

        on_start = start_keep;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, &a, &running) == 0);
        wire_run();
        assert(call_abi_deadline(atomic_load(&callee_call)) >= before + 50 * NSEC_PER_MSEC);
        assert(call_abi_deadline(atomic_load(&callee_call)) <= clock_now() + 50 * NSEC_PER_MSEC);
        callee.limits.concurrency = 1;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, &b, &waiting) == 0);
        wire_run();
        while (atomic_load(&a.dones) == 0 || atomic_load(&b.dones) == 0)
                wire_run();
        check_done(&a, STATUS_DEADLINE_EXCEEDED, 200);
        check_done(&b, STATUS_DEADLINE_EXCEEDED, 200);
        assert(clock_now() >= before + 50 * NSEC_PER_MSEC);
        assert(atomic_load(&callee_cancels) >= 1);

        /* The caller's own deadline is earlier. */
        parent->call.deadline = clock_now() + NSEC_PER_MSEC;
        callee.limits = callee_conf.limits;
        callee.limits.timeout = (int64_t)(3600 * NSEC_PER_SEC);
        child_free(running);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &ops, memset(&a, 0, sizeof a), &running) == 0);
        wire_run();
        assert(call_abi_deadline(atomic_load(&callee_call)) == parent->call.deadline);
        child_free(running);
        child_free(waiting);
        child_free(quick);
        parent_finish(parent);
        timeouts_done(&callee.timeouts);
}

/* --- many threads ---------------------------------------------------------------------------- */

enum { RACES = 1000 };

static void *race_cancel(void *arg)
{
        struct call *parent = arg;

        call_cancel(parent);
        call_drop(parent);
        return NULL;
}

/* The parent is cancelled while it starts a child that would never end: it does end. */
static void test_race_start(void)
{
        on_start = start_keep;
        for (unsigned i = 0; i < RACES; i++) {
                struct wire *parent = parent_new();
                struct brick_child *child = NULL;
                struct told told = {};
                pthread_t thread;
                int r;

                call_ref(&parent->call);
                callee.limits = callee_conf.limits;
                assert(pthread_create(&thread, NULL, race_cancel, &parent->call) == 0);
                for (unsigned k = 0; k < i % 200; k++)
                        (void)atomic_load(&callee_stats.in_flight);
                r = child_abi_start(parent->call.handle, &callee.as_target,
                                    BRICK_METHOD_BIDI_STREAMING, hello, &ops, &told, &child);
                assert(r == 0 || r == -ECANCELED);
                if (r == 0)
                        child_abi_recv(child);
                assert(pthread_join(thread, NULL) == 0);
                wire_run();
                assert(atomic_load(&told.dones) == (r == 0));
                if (r == 0)
                        child_abi_free(child);
                parent_finish(parent);
        }
}

static void *race_answer(void *arg)
{
        struct brick_call *call = arg;

        for (int i = 0; i < 3; i++)
                (void)call_abi_send(call, hello);
        call_abi_finish(call, 0, brick_str(""));
        return NULL;
}

static int start_thread(struct brick_call *call)
{
        pthread_t thread;

        assert(pthread_create(&thread, NULL, race_answer, call) == 0);
        (void)pthread_detach(thread);
        return 0;
}

/* A callee that answers from its own thread, and a caller that gives up at some point. */
static void test_race_answer(void)
{
        static const struct brick_module patient_brick = {
                .methods = METHODS,
                .start = callee_start,
                .writable = callee_writable,
        };

        callee.brick = &patient_brick;
        on_start = start_thread;
        for (unsigned i = 0; i < RACES; i++) {
                struct wire *parent = parent_new();
                struct brick_child *child;
                struct told told;

                child = start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
                for (unsigned k = 0; k < i % 4; k++)
                        child_recv(child);
                if (i % 2)
                        call_cancel(&parent->call);
                child_abi_free(child);
                call_abi_finish(parent->call.handle, 0, brick_str(""));
                wire_free(parent);
                assert(atomic_load(&told.dones) == 1);
                while (atomic_load(&callee_stats.in_flight) > 0)
                        wire_run();
        }
        callee.brick = &callee_brick;
}

int main(void)
{
        runner_enter(NULL, NULL);
        test_unary();
        test_refusals();
        test_output_stream();
        test_unread();
        test_input_stream();
        test_bidi();
        test_cancel();
        test_cancel_in_queue();
        test_timeout();
        test_race_start();
        test_race_answer();
        return 0;
}

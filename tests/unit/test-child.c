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
#include "fake-pair.h"
#include "module/call-abi.h"
#include "module/entry.h"
#include "util/clock.h"

/*
 * Calls of one brick to another: all shapes, all ways to end. The caller is this file, on behalf of
 * a parent call that a fake wire has made. Meant to be run under ThreadSanitizer as well.
 */

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
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
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
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        child_recv(child);
        assert(told.messages == 0);
        check_done(&told, 0, 2003);
        child_free(child);

        child = child_start(parent, BRICK_METHOD_SERVICE_INFO, &told);
        check_done(&told, 0, 12);
        child_free(child);

        atomic_store(&callee_stats.in_flight, 1010);
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        check_done(&told, STATUS_RESOURCE_EXHAUSTED, 200);
        child_free(child);
        atomic_store(&callee_stats.in_flight, 0);

        assert(child_abi_start(parent->call.handle, &callee.as_target, 99, hello, &told_ops, &told,
                               &child) == -EINVAL);
        cancel(parent);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &told, &child) == -ECANCELED);
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
        child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
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
        child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
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
        child = child_start(parent, BRICK_METHOD_INPUT_STREAMING, &told);
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
        child = child_start(parent, BRICK_METHOD_BIDI_STREAMING, &told);
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
                child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
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
        first = child_start(parent, BRICK_METHOD_UNARY, &a);
        callee.limits.concurrency = 1;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, memset(&b, 0, sizeof b), &second) == 0);
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

        alarms_init(&callee.alarms);
        on_start = start_answer;
        callee.limits.timeout = 50 * NSEC_PER_MSEC;
        atomic_store(&callee_cancels, 0);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &c, &quick) == 0);
        wire_run();
        child_recv(quick);
        check_done(&c, 0, 200); /* it was in time */

        on_start = start_keep;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &a, &running) == 0);
        wire_run();
        assert(call_abi_deadline(atomic_load(&callee_call)) >= before + 50 * NSEC_PER_MSEC);
        assert(call_abi_deadline(atomic_load(&callee_call)) <= clock_now() + 50 * NSEC_PER_MSEC);
        callee.limits.concurrency = 1;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &b, &waiting) == 0);
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
                               &told_ops, memset(&a, 0, sizeof a), &running) == 0);
        wire_run();
        assert(call_abi_deadline(atomic_load(&callee_call)) == parent->call.deadline);
        child_free(running);
        child_free(waiting);
        child_free(quick);
        parent_finish(parent);
        alarms_done(&callee.alarms);
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
                                    BRICK_METHOD_BIDI_STREAMING, hello, &told_ops, &told, &child);
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
        callee.brick = &patient_brick;
        on_start = start_thread;
        for (unsigned i = 0; i < RACES; i++) {
                struct wire *parent = parent_new();
                struct brick_child *child;
                struct told told;

                child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
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

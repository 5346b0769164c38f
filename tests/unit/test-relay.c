/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake-pair.h"
#include "module/call-abi.h"
#include "module/relay.h"
#include "util/clock.h"

/* Calls that their brick leaves to one of its children. */

static struct wire *parent_of(uint32_t method)
{
        struct wire *wire = wire_new(&caller, method);

        wire->call.identity = brick_str("web");
        assert(instance_admit(&caller, &wire->call) == ADMIT_START);
        call_start(&wire->call);
        return wire;
}

static void relay(struct wire *parent, struct brick_child *child)
{
        assert(relay_abi_start(parent->call.handle, child) == 0);
        assert(!handle_find(parent->call.handle)); /* no longer the brick's */
        wire_run();
}

/* The parent has ended with the child. */
static void finish(struct wire *parent, struct brick_child *child, const struct told *told)
{
        assert(atomic_load(&told->dones) == 1 && told->messages == 0);
        assert(parent->ended && parent->call.side == SIDE_DONE);
        if (child)
                child_free(child);
        wire_free(parent);
        assert(atomic_load(&caller_stats.in_flight) == 0);
        assert(atomic_load(&callee_stats.in_flight) == 0);
}

static int start_keep(struct brick_call *call)
{
        return 0;
}

static int start_answer(struct brick_call *call)
{
        assert(call_abi_trailer(call, brick_str("cost"), brick_str("3")) == 0);
        assert(call_abi_trailer(call, brick_str("Not Legal"), brick_str("3")) == -EINVAL);
        assert(call_abi_send(call, hello) == 0);
        call_abi_finish(call, 0, brick_str(""));
        return 0;
}

static void test_unary(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_UNARY);
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        relay(parent, child);
        assert(!parent->ended && atomic_load(&caller_stats.in_flight) == 1);
        child_recv(child); /* these do nothing any more */
        assert(child_send(child) == -EINVAL);
        child_close(child);
        (void)start_answer(callee_call);
        wire_run();
        assert(parent->sent == 1 && parent->trailers == 1);
        assert(outcome_is_success(&parent->call.outcome));
        check_done(&told, 0, 200);
        finish(parent, child, &told);
}

static int start_fail(struct brick_call *call)
{
        (void)call_abi_send(call, hello);
        call_abi_fail(call, 2003, brick_str("no"), brick_str("at all"));
        return 0;
}

static int start_status(struct brick_call *call)
{
        call_abi_finish(call, 9, brick_str("not now"));
        return 0;
}

/* A child that has ended already, and one that never began. */
static void test_failures(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_UNARY);
        struct brick_child *child;
        struct told told = {};

        on_start = start_fail;
        callee.limits = callee_conf.limits;
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &told, &child) == 0);
        relay(parent, child);
        assert(parent->call.outcome.in_band && parent->call.outcome.code == 2003);
        assert(parent->call.outcome.detail.len == 6 && parent->sent == 0);
        finish(parent, child, &told);

        parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
        on_start = start_status;
        memset(&told, 0, sizeof told);
        assert(child_abi_start(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                               &told_ops, &told, &child) == 0);
        relay(parent, child);
        assert(!parent->call.outcome.in_band && parent->call.outcome.status == 9);
        assert(parent->call.outcome.message.len == 7);
        finish(parent, child, &told);
}

/* The client does not read: the callee has to wait; and then it goes on. */
static void test_output_stream(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
        static const char large[400];
        struct brick_child *child;
        struct told told;
        unsigned n = 0;

        on_start = start_keep;
        child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
        assert(call_abi_send(parent->call.handle, hello) == 0); /* one of its own before */
        wire_hold(parent);
        relay(parent, child);
        while (call_abi_send(callee_call, (struct brick_bytes){ large, sizeof large }) == 0) {
                n++;
                wire_run();
                assert(parent->call.outbox_bytes <= 2000 && n < 1000);
        }
        assert(n > 10 && parent->sent == 1);
        wire_release(parent);
        wire_run();
        assert(parent->sent == 1 + n);
        assert(call_abi_send(callee_call, hello) == 0);
        wire_run();
        assert(parent->sent == 2 + n && !parent->ended);
        call_abi_finish(callee_call, 0, brick_str(""));
        wire_run();
        finish(parent, child, &told);
}

static void on_count(struct brick_call *call, const struct brick_bytes *message)
{
        if (!message) {
                call_abi_finish(call, 0, brick_str(""));
                return;
        }
        (void)atomic_fetch_add(&callee_messages, 1);
        (void)call_abi_send(call, *message);
}

static void test_bidi(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_BIDI_STREAMING);
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        on_message = on_count;
        atomic_store(&callee_messages, 0);
        parent->silent = true;
        child = child_start(parent, BRICK_METHOD_BIDI_STREAMING, &told);
        assert(child_send(child) == 0); /* one of its own before */
        call_abi_recv(parent->call.handle);
        wire_deliver(parent, true); /* which the brick does not get to see */
        relay(parent, child);
        callee_recv();
        assert(atomic_load(&callee_messages) == 1);
        callee_recv();
        assert(atomic_load(&callee_messages) == 2 && parent->sent == 2);
        callee_recv();
        assert(parent->call.inbox == INBOX_WANTED);
        for (unsigned i = 3; i < 6; i++) {
                wire_deliver(parent, true);
                wire_run();
                assert(atomic_load(&callee_messages) == i && parent->sent == i);
                callee_recv();
        }
        for (unsigned i = 0; i < 3; i++) { /* one is taken ahead */
                wire_deliver(parent, true);
                wire_run();
        }
        assert(atomic_load(&callee_messages) == 6 && parent->call.inbox == INBOX_READY);
        callee_recv();
        callee_recv();
        assert(atomic_load(&callee_messages) == 8);
        wire_deliver(parent, false);
        wire_run();
        callee_recv();
        finish(parent, child, &told);
}

/* A child with a stream of requests, and a parent that has none: the end is all that it gets. */
static void test_no_requests(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        on_message = on_count;
        child = child_start(parent, BRICK_METHOD_BIDI_STREAMING, &told);
        relay(parent, child);
        callee_recv();
        assert(parent->call.outcome.status == 0);
        finish(parent, child, &told);
}

/* --- inside an entry ---------------------------------------------------------------------------
 */

static struct wire *relayed_parent;
static struct brick_child *relayed_child;
static struct told first_told;

static void relay_first(void *user, struct brick_bytes message)
{
        struct brick_call *handle = relayed_parent->call.handle;

        assert(call_abi_send(handle, message) == 0);
        assert(relay_abi_start(handle, relayed_child) == 0);
        assert(relayed_parent->sent == 1);
        assert(call_abi_send(handle, message) == -ECANCELED); /* it is no longer the brick's */
        assert(relay_abi_start(handle, relayed_child) == -ECANCELED);
        call_abi_finish(handle, 0, brick_str(""));
        assert(relayed_parent->call.side == SIDE_RELAYED);
}

static void first_done(void *user, const struct brick_outcome *outcome)
{
        assert(relayed_parent->ended);
        (void)atomic_fetch_add(&first_told.dones, 1);
}

static const struct brick_child_ops first_ops = {
        .struct_size = sizeof first_ops,
        .message = relay_first,
        .done = first_done,
};

/* A brick that looks at the first reply, and leaves the rest. */
static void test_in_message(void)
{
        struct wire *parent = relayed_parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);

        on_start = start_keep;
        first_told = (struct told){};
        assert(child_abi_start(parent->call.handle, &callee.as_target,
                               BRICK_METHOD_OUTPUT_STREAMING, hello, &first_ops, NULL,
                               &relayed_child) == 0);
        child_recv(relayed_child);
        for (unsigned i = 1; i <= 100; i++) {
                assert(call_abi_send(callee_call, hello) == 0);
                wire_run();
                assert(parent->sent == i);
        }
        call_abi_finish(callee_call, 0, brick_str(""));
        wire_run();
        finish(parent, relayed_child, &first_told);
}

static void inner_done(void *user, const struct brick_outcome *outcome)
{
        (void)atomic_fetch_add(&first_told.dones, 1);
}

static const struct brick_child_ops inner_ops = {
        .struct_size = sizeof inner_ops,
        .done = inner_done,
};

static int start_relay(struct brick_call *call)
{
        struct brick_child *child;

        assert(call_abi_send(call, hello) == 0);
        on_start = start_answer;
        assert(child_abi_start(call, &callee.as_target, BRICK_METHOD_OUTPUT_STREAMING, hello,
                               &inner_ops, NULL, &child) == 0);
        relayed_child = child;
        assert(relay_abi_start(call, child) == 0);
        return 0;
}

/* In start(), and through two bricks: the callee leaves its call to a callee of its own. */
static void test_in_start(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
        struct brick_child *child;
        struct told told = {};

        first_told = (struct told){};
        on_start = start_relay;
        callee.limits = callee_conf.limits;
        assert(child_abi_start(parent->call.handle, &callee.as_target,
                               BRICK_METHOD_OUTPUT_STREAMING, hello, &told_ops, &told,
                               &child) == 0);
        relay(parent, child);
        assert(parent->sent == 2 && parent->trailers == 1);
        assert(atomic_load(&first_told.dones) == 1);
        child_free(relayed_child);
        finish(parent, child, &told);
}

/* --- giving up ---------------------------------------------------------------------------------
 */

static void test_cancel(void)
{
        for (int how = 0; how < 4; how++) {
                struct wire *parent = parent_of(BRICK_METHOD_BIDI_STREAMING);
                const struct outcome expired = outcome_expired();
                struct brick_child *child;
                struct told told;

                on_start = start_keep;
                atomic_store(&callee_cancels, 0);
                parent->silent = true;
                child = child_start(parent, BRICK_METHOD_BIDI_STREAMING, &told);
                relay(parent, child);
                if (how == 0)
                        cancel(parent);
                else if (how == 1)
                        child_cancel(child);
                else if (how == 2)
                        child_free(child);
                else
                        call_refuse(&parent->call, &expired);
                wire_run();
                assert(atomic_load(&callee_cancels) == 1);
                assert(parent->call.outcome.status ==
                       (how == 3 ? STATUS_DEADLINE_EXCEEDED : STATUS_CANCELLED));
                finish(parent, how == 2 ? NULL : child, &told);
        }
}

/* A reply that is not of the call's type is the callee's fault, and ends both. */
static void test_bad_reply(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
        struct brick_child *child;
        struct told told;

        on_start = start_keep;
        atomic_store(&callee_cancels, 0);
        child = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told);
        relay(parent, child);
        assert(call_abi_send(callee_call, (struct brick_bytes){ "bad", 3 }) == 0);
        wire_run();
        assert(atomic_load(&callee_cancels) == 1 && parent->sent == 0);
        assert(!outcome_is_success(&parent->call.outcome));
        finish(parent, child, &told);

        parent = parent_of(BRICK_METHOD_UNARY);
        parent->call.max_reply = 3;
        on_start = start_answer;
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        relay(parent, child);
        assert(parent->call.outcome.in_band && parent->sent == 0);
        finish(parent, child, &told);
}

static void test_refused(void)
{
        struct wire *parent = parent_of(BRICK_METHOD_UNARY), *other = parent_of(BRICK_METHOD_UNARY);
        struct brick_call *handle = parent->call.handle;
        struct brick_child *child, *stream, *ended;
        struct told told, told_stream, told_ended;

        on_start = start_answer;
        ended = child_start(parent, BRICK_METHOD_UNARY, &told_ended);
        child_recv(ended);
        assert(relay_abi_start(handle, ended) == -ECANCELED);
        on_start = start_keep;
        stream = child_start(parent, BRICK_METHOD_OUTPUT_STREAMING, &told_stream);
        assert(relay_abi_start(handle, stream) == -EINVAL); /* it may have many replies */
        callee.type = BRICK_TYPE_LLM;
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        assert(relay_abi_start(handle, child) == -EINVAL);
        callee.type = BRICK_TYPE_COMMON;
        assert(relay_abi_start(other->call.handle, child) == -EINVAL);
        child_recv(child);
        assert(relay_abi_start(handle, child) == -EINVAL);
        child_free(child);
        child = child_start(parent, BRICK_METHOD_UNARY, &told);
        assert(call_abi_send(handle, hello) == 0);
        assert(relay_abi_start(handle, child) == -EINVAL);
        assert(parent->call.side == SIDE_IDLE); /* it is still the brick's */
        child_free(child);
        child_free(stream);
        child_free(ended);
        call_abi_finish(handle, 0, brick_str(""));
        wire_run();
        assert(relay_abi_start(handle, child) == -ECANCELED);
        wire_free(parent);
        parent_finish(other);
}

/* --- many threads ------------------------------------------------------------------------------
 */

enum { RACES = 500 };

static void *race_answer(void *arg)
{
        struct brick_call *call = arg;

        for (int i = 0; i < 5; i++)
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

static void *race_relay(void *arg)
{
        struct wire *parent = arg;

        return relay_abi_start(parent->call.handle, relayed_child) == 0 ? parent : NULL;
}

static void *race_cancel(void *arg)
{
        struct call *call = arg;

        call_cancel(call);
        call_drop(call);
        return NULL;
}

/* The callee answers, the caller relays and the client gives up, each on a thread of its own. */
static void test_races(void)
{
        callee.brick = &patient_brick;
        on_start = start_thread;
        for (unsigned i = 0; i < RACES; i++) {
                struct wire *parent = parent_of(BRICK_METHOD_OUTPUT_STREAMING);
                struct told told = {};
                pthread_t relays, cancels;
                void *relayed;

                call_ref(&parent->call);
                callee.limits = callee_conf.limits;
                assert(child_abi_start(parent->call.handle, &callee.as_target,
                                       BRICK_METHOD_OUTPUT_STREAMING, hello, &told_ops, &told,
                                       &relayed_child) == 0);
                assert(pthread_create(&relays, NULL, race_relay, parent) == 0);
                if (i % 2)
                        assert(pthread_create(&cancels, NULL, race_cancel, &parent->call) == 0);
                while (pthread_tryjoin_np(relays, &relayed) == EBUSY)
                        wire_run();
                if (i % 2)
                        assert(pthread_join(cancels, NULL) == 0);
                else
                        call_drop(&parent->call);
                if (!relayed) /* the child had ended before */
                        call_abi_finish(parent->call.handle, 0, brick_str(""));
                while (atomic_load(&told.dones) == 0)
                        wire_run();
                assert(i % 2 || !relayed || parent->sent == 5);
                while (atomic_load(&callee_stats.in_flight) > 0)
                        wire_run();
                finish(parent, relayed_child, &told);
        }
        callee.brick = &callee_brick;
}

int main(void)
{
        runner_enter(NULL, NULL);
        test_unary();
        test_failures();
        test_output_stream();
        test_bidi();
        test_no_requests();
        test_in_message();
        test_in_start();
        test_cancel();
        test_bad_reply();
        test_refused();
        test_races();
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fake-pair.h"
#include "module/call-abi.h"
#include "module/span.h"
#include "util/clock.h"

/* What a caller may give a child besides its request. */

static struct told told;

static int start_with(struct wire *parent, const struct brick_child_options *options,
                      struct brick_child **ret)
{
        int r;

        told = (struct told){};
        callee.limits = callee_conf.limits;
        r = child_abi_start_with(parent->call.handle, &callee.as_target, BRICK_METHOD_UNARY, hello,
                                 options, &told_ops, &told, ret);
        wire_run();
        return r;
}

#define PAIR(k, v)                       \
        {                                \
                { k, sizeof(k) - 1 },    \
                {                        \
                        v, sizeof(v) - 1 \
                }                        \
        }

static void expect(struct brick_str text, const char *expected)
{
        assert(text.len == strlen(expected) && memcmp(text.ptr, expected, text.len) == 0);
}

static int start_look(struct brick_call *call)
{
        struct brick_str key, value;

        expect(call_abi_metadata(call, "mine"), "1");
        assert(call_abi_metadata_at(call, 1, &key, &value));
        expect(key, "mine");
        expect(value, "2");
        assert(call_abi_metadata(call, "raw-bin").len == 3);
        expect(call_abi_metadata(call, "key"), "value"); /* the parent's */
        assert(call_abi_metadata_at(call, 3, &key, &value));
        assert(!call_abi_metadata_at(call, 4, &key, &value));
        call_abi_finish(call, 5, brick_str("seen"));
        return 0;
}

static int start_hidden(struct brick_call *call)
{
        struct brick_str key, value;

        expect(call_abi_metadata(call, "key"), "other");
        assert(!call_abi_metadata_at(call, 1, &key, &value));
        call_abi_finish(call, 5, brick_str("seen"));
        return 0;
}

static void test_metadata(void)
{
        struct brick_pair pairs[] = { PAIR("mine", "1"), PAIR("mine", "2"),
                                      PAIR("raw-bin", "\0\n\377") };
        const struct brick_pair other = PAIR("key", "other");
        struct brick_child_options options = { .struct_size = sizeof options,
                                               .metadata = pairs,
                                               .n_metadata = 3 };
        struct wire *parent = parent_new();
        struct brick_child *child;

        on_start = start_look;
        assert(start_with(parent, &options, &child) == 0);
        check_done(&told, 5, 200);
        child_free(child);

        on_start = start_hidden;
        options.metadata = &other;
        options.n_metadata = 1;
        assert(start_with(parent, &options, &child) == 0);
        memset(pairs, 0, sizeof pairs); /* it has been read */
        check_done(&told, 5, 200);
        child_free(child);
        parent_finish(parent);
}

static void test_refused(void)
{
        static const struct brick_pair bad[] = {
                PAIR("", "v"),           PAIR("Key", "v"),           PAIR(":path", "v"),
                PAIR("a b", "v"),        PAIR("grpc-timeout", "1S"), PAIR("key", "a\nb"),
                PAIR("key", "\303\244"),
        };
        static char large[8193];
        struct brick_pair many[33];
        struct brick_child_options options = { .struct_size = sizeof options, .n_metadata = 1 };
        struct wire *parent = parent_new();
        struct brick_child *child;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                options.metadata = &bad[i];
                assert(start_with(parent, &options, &child) == -EINVAL);
        }
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = (struct brick_pair)PAIR("key", "v");
        options.metadata = many;
        options.n_metadata = 33;
        assert(start_with(parent, &options, &child) == -E2BIG);
        memset(large, 'x', sizeof large);
        many[0].value = (struct brick_str){ large, sizeof large };
        options.n_metadata = 1;
        assert(start_with(parent, &options, &child) == -E2BIG);
        assert(atomic_load(&callee_stats.in_flight) == 0 && !parent->call.children);
        parent_finish(parent);
}

static int start_keep(struct brick_call *call)
{
        return 0;
}

/* The earliest of the parent's deadline, the caller's and the callee's limit. */
static void test_deadline(void)
{
        uint64_t now = clock_now();
        struct brick_child_options options = { .struct_size = sizeof options,
                                               .deadline = now + 20 * NSEC_PER_MSEC };
        struct wire *parent = parent_new();
        struct brick_child *child;

        alarms_init(&callee.alarms);
        on_start = start_keep;
        assert(start_with(parent, &options, &child) == 0);
        assert(call_abi_deadline(atomic_load(&callee_call)) == options.deadline);
        while (atomic_load(&told.dones) == 0)
                wire_run();
        check_done(&told, STATUS_DEADLINE_EXCEEDED, 200);
        assert(clock_now() >= options.deadline);
        child_free(child);

        options.deadline = now; /* which is past */
        assert(start_with(parent, &options, &child) == 0);
        while (atomic_load(&told.dones) == 0)
                wire_run();
        check_done(&told, STATUS_DEADLINE_EXCEEDED, 200);
        child_free(child);

        parent->call.deadline = now + 3600 * NSEC_PER_SEC;
        options.deadline = parent->call.deadline + 1;
        assert(start_with(parent, &options, &child) == 0);
        assert(call_abi_deadline(atomic_load(&callee_call)) == parent->call.deadline);
        child_free(child);

        options.struct_size = offsetof(struct brick_child_options, deadline); /* an older struct */
        options.deadline = 1;
        assert(start_with(parent, &options, &child) == 0);
        assert(call_abi_deadline(atomic_load(&callee_call)) == parent->call.deadline);
        child_free(child);
        parent_finish(parent);
        alarms_done(&callee.alarms);
}

static void test_name(void)
{
        _cleanup_(tracer_freep) struct tracer *tracer = NULL;
        struct brick_child_options options = { .struct_size = sizeof options,
                                               .name = brick_str("step 2: docs") };
        struct wire *parent = parent_new();
        struct span_record record;
        struct brick_child *child;

        assert(tracer_new(&tracer, 1) == 0);
        span_begin(&parent->call.span, tracer, NULL, clock_now());
        on_start = start_keep;
        assert(start_with(parent, &options, &child) == 0);
        child_free(child);
        assert(tracer_take(tracer, &record));
        expect((struct brick_str){ record.name, record.name_length }, "step 2: docs");
        assert(record.span.parent == parent->call.span.context.span);

        assert(start_with(parent, NULL, &child) == 0);
        child_free(child);
        assert(tracer_take(tracer, &record) && record.name_length == 0);
        parent->call.span.tracer = NULL;
        parent_finish(parent);
}

int main(void)
{
        runner_enter(NULL, NULL);
        test_metadata();
        test_refused();
        test_deadline();
        test_name();
        return 0;
}

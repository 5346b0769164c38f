/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include "fake-pair.h"

#include <assert.h>
#include <string.h>

#include "module/call-abi.h"
#include "module/entry.h"
#include "module/load.h"

/* --- the callee ------------------------------------------------------------------------------ */

int (*on_start)(struct brick_call *call);
void (*on_message)(struct brick_call *call, const struct brick_bytes *message);
_Atomic(struct brick_call *) callee_call; /* the last that started */
atomic_uint callee_cancels, callee_messages;

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

const struct brick_module callee_brick = {
        .methods = METHODS,
        .start = callee_start,
        .message = callee_message,
        .writable = callee_writable,
        .cancel = callee_cancel,
};
const struct brick_module patient_brick = {
        .methods = METHODS,
        .start = callee_start,
        .writable = callee_writable,
};

static const struct module callee_module = { .brick = &callee_brick, .path = (char *)"callee.so" };
const struct conf_brick callee_conf = {
        .name = "callee",
        .limits = { .concurrency = 1000, .queue = 10, .threads = 1, .arena = 1 << 20 },
};
struct stats_brick callee_stats;
struct instance callee = {
        .stats = &callee_stats,
        .conf = &callee_conf,
        .module = &callee_module,
        .brick = &callee_brick,
        .type = BRICK_TYPE_COMMON,
        .methods = METHODS,
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
struct stats_brick caller_stats;
struct instance caller = {
        .stats = &caller_stats,
        .conf = &caller_conf,
        .module = &caller_module,
        .brick = &caller_brick,
        .type = BRICK_TYPE_COMMON,
        .limits = { .concurrency = 1000 },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
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

const struct brick_child_ops told_ops = {
        .struct_size = sizeof told_ops,
        .message = on_reply,
        .done = on_done,
        .writable = on_writable,
};

const struct brick_bytes hello = { "hello", 5 };

struct wire *parent_new(void)
{
        struct wire *wire = wire_new(&caller, BRICK_METHOD_UNARY);

        assert(instance_admit(&caller, &wire->call) == ADMIT_START);
        call_start(&wire->call);
        wire->call.identity = brick_str("web");
        return wire;
}

void parent_give_back(struct wire *parent)
{
        call_abi_finish(parent->call.handle, 0, brick_str(""));
        wire_run();
}

void parent_finish(struct wire *parent)
{
        parent_give_back(parent);
        wire_free(parent);
        assert(atomic_load(&caller_stats.in_flight) == 0);
        assert(atomic_load(&callee_stats.in_flight) == 0);
}

void child_recv(struct brick_child *child)
{
        child_abi_recv(child);
        wire_run();
}

int child_send(struct brick_child *child)
{
        int r = child_abi_send(child, hello);

        wire_run();
        return r;
}

void child_close(struct brick_child *child)
{
        child_abi_close(child);
        wire_run();
}

void child_cancel(struct brick_child *child)
{
        child_abi_cancel(child);
        wire_run();
}

void child_free(struct brick_child *child)
{
        child_abi_free(child);
        wire_run();
}

void callee_recv(void)
{
        call_abi_recv(callee_call);
        wire_run();
}

void cancel(struct wire *wire)
{
        call_cancel(&wire->call);
        wire_run();
}

struct brick_child *child_start(struct wire *parent, uint32_t method, struct told *told)
{
        struct brick_child *child;

        *told = (struct told){};
        callee.limits = callee_conf.limits;
        assert(child_abi_start(parent->call.handle, &callee.as_target, method, hello, &told_ops,
                               told, &child) == 0);
        assert(atomic_load(&told->dones) == 0); /* on this stack nobody is told anything */
        wire_run();
        return child;
}

void check_done(const struct told *told, uint32_t status, int32_t code)
{
        assert(atomic_load(&told->dones) == 1);
        assert(told->status == status && told->code == code);
}

/* SPDX-License-Identifier: MIT */

/* What libbrick has for timers and for calls to others; and on a host that is too old for them. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>

#define BRICK_STATIC ticks
#include "fake-host.h"

/* A call in the memory of itself; it is answered at the third tick. */
struct ticking {
        struct brick_call *call;
        struct brick_timer *timer, *other;
        LLMResponse *response;
        unsigned ticks;
        uint64_t began;
};

static void never(void *user)
{
        abort();
}

static void tick(void *user)
{
        struct ticking *ticking = user;

        if (++ticking->ticks < 3) {
                brick_host->timer_set(ticking->timer, brick_now() + 1000000);
                return;
        }
        assert(brick_now() >= ticking->began + 4000000);
        brick_host->timer_free(ticking->other);
        ticking->response->text = brick_const("tick");
        brick_end(ticking->call, 0, ticking->response);
}

static int ticks_unary(struct brick_instance *self, struct brick_call *call,
                       const LLMRequest *request, LLMResponse *response)
{
        struct ticking *ticking = brick_alloc(call, sizeof *ticking);

        assert(ticking);
        *ticking = (struct ticking){ .call = call, .response = response, .began = brick_now() };
        assert(brick_after(call, UINT64_C(3600000000000), never, NULL, &ticking->other) == 0);
        assert(brick_after(call, 2000000, tick, ticking, &ticking->timer) == 0);
        return BRICK_TAKEN;
}

static const struct brick_llm handlers = { .unary = ticks_unary };

BRICK_LLM(handlers, .name = "ticks", .version = "1.0", .summary = "for tests");

static struct fake_call *new_call(struct fake_host *host)
{
        LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;

        return fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
}

static void test_timer(struct fake_host *host)
{
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        LLMResponse *response;

        assert(fake_call_run(call) == 0);
        response = fake_call_reply(call, 0, BRICK_DESCRIPTOR(LLMResponse));
        assert(strcmp(response->text, "tick") == 0);
}

static void done(void *user, const struct brick_outcome *outcome)
{
        abort();
}

/* brickd before ABI 1.3. */
static void test_old_host(struct fake_host *host)
{
        static const struct brick_child_ops ops = { .struct_size = sizeof ops, .done = done };
        static const struct brick_child_options options = { .struct_size = sizeof options };
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        struct brick_call *c = (struct brick_call *)call;
        const struct brick_host *table = brick_host;
        struct brick_host old = *table;
        struct brick_child *child;

        old.abi_minor = 2;
        old.struct_size = offsetof(struct brick_host, call_mark);
        brick_sdk_init(&old);
        assert(brick_after(c, 0, never, NULL, NULL) == -ENOSYS);
        assert(brick_relay(c, NULL, BRICK_METHOD_UNARY, NULL, NULL) == -ENOSYS);
        assert(brick_child_start_with(c, NULL, BRICK_METHOD_UNARY, NULL, &options, &ops, NULL,
                                      &child) == -ENOSYS);
        assert(brick_target_has(NULL, BRICK_METHOD_UNARY));
        brick_sdk_init(table);
}

int main(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = NULL;

        assert(fake_host_new(&host, ticks_brick_module_v1(), NULL) == 0);
        test_timer(host);
        test_old_host(host);
        return 0;
}

/* SPDX-License-Identifier: MIT */

#include <stdlib.h>
#include <time.h>

#include "brick-sdk.h"

/* ---- leaving a call to another brick ---------------------------------------------------- */

struct relay {
        struct brick_child *child;
};

/* The call has ended, or call_relay() has failed and the child is cancelled. */
static void relay_done(void *user, const struct brick_outcome *outcome)
{
        struct relay *relay = user;

        (void)outcome;
        brick_host->child_free(relay->child);
        free(relay);
}

static const struct brick_child_ops relay_ops = {
        .struct_size = sizeof relay_ops,
        .done = relay_done,
};

static int start(struct brick_call *call, struct brick_target *target, uint32_t method,
                 const ProtobufCMessage *request, const struct brick_child_options *options,
                 struct relay *relay)
{
        if (request)
                return brick_child_start_with(call, target, method, request, options, &relay_ops,
                                              relay, &relay->child);
        return brick_host->child_start_with(call, target, method, brick_host->call_request(call),
                                            options, &relay_ops, relay, &relay->child);
}

int brick_relay(struct brick_call *call, struct brick_target *target, uint32_t method,
                const ProtobufCMessage *request, const struct brick_child_options *options)
{
        struct relay *relay;
        int r;

        if (!BRICK_HAS(brick_host, call_relay))
                return -ENOSYS;
        relay = calloc(1, sizeof *relay);
        if (!relay)
                return -ENOMEM;
        r = start(call, target, method, request, options, relay);
        if (r < 0) {
                free(relay);
                return r;
        }
        r = brick_host->call_relay(call, relay->child);
        if (r == 0)
                return BRICK_TAKEN;
        brick_host->child_cancel(relay->child);
        return r;
}

/* ---- timers ----------------------------------------------------------------------------- */

uint64_t brick_now(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int brick_after(struct brick_call *call, uint64_t ns, void (*fire)(void *user), void *user,
                struct brick_timer **ret)
{
        struct brick_timer *timer;
        int r;

        if (!BRICK_HAS(brick_host, timer_new))
                return -ENOSYS;
        r = brick_host->timer_new(call, fire, user, &timer);
        if (r < 0)
                return r;
        if (ret)
                *ret = timer;
        brick_host->timer_set(timer, brick_now() + ns);
        return 0;
}

/* ---- targets ---------------------------------------------------------------------------- */

int brick_option_targets(struct brick_ctx *ctx, const struct brick_node *config, const char *key,
                         struct brick_target ***ret, size_t *ret_n)
{
        const struct brick_node *list = brick_host->node_get(config, key);
        size_t n = brick_host->node_size(list);
        struct brick_target **targets = calloc(n + 1, sizeof *targets);

        if (!targets)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                targets[i] = brick_host->target(ctx, brick_host->node_at(list, i));
        *ret = targets;
        *ret_n = n;
        return 0;
}

int brick_target_has(const struct brick_target *target, uint32_t method)
{
        return !BRICK_HAS(brick_host, target_methods) ||
               (brick_host->target_methods(target) >> method & 1);
}

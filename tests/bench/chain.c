/* SPDX-License-Identifier: MIT */

/* A Translate brick in front of another one, for measuring: it leaves its calls to it, or passes
 * each reply on by hand. */

#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

struct brick_instance {
        struct brick_target *target;
        int by_hand;
};

/* In the memory of the call. */
struct pass {
        struct brick_call *call;
        struct brick_child *child;
        struct brick_bytes kept; /* a reply for which the window had no room */
        int ended;               /* and it was the last */
};

static void on_message(void *user, struct brick_bytes message)
{
        struct pass *pass = user;
        void *copy;

        if (brick_host->call_send(pass->call, message) != -EAGAIN) {
                brick_host->child_recv(pass->child);
                return;
        }
        copy = malloc(message.len);
        if (!copy)
                abort();
        memcpy(copy, message.ptr, message.len);
        pass->kept = (struct brick_bytes){ copy, message.len };
}

static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct pass *pass = user;

        brick_host->child_free(pass->child);
        pass->ended = 1;
        if (!pass->kept.ptr && brick_fail_as(pass->call, outcome) == 0)
                brick_finish(pass->call);
}

static void chain_writable(struct brick_instance *self, struct brick_call *call)
{
        struct pass *pass = brick_host->call_data(call);

        if (brick_host->call_send(call, pass->kept) == -EAGAIN)
                return;
        free((void *)pass->kept.ptr);
        pass->kept.ptr = NULL;
        if (pass->ended)
                brick_finish(call);
        else
                brick_host->child_recv(pass->child);
}

static const struct brick_child_ops ops = {
        .struct_size = sizeof ops,
        .message = on_message,
        .done = on_done,
};

static int chain_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct pass *pass;
        int r;

        if (!self->by_hand)
                return brick_relay(call, self->target, method, NULL, NULL);
        pass = brick_alloc(call, sizeof *pass);
        if (!pass)
                return -ENOMEM;
        *pass = (struct pass){ .call = call };
        brick_host->call_set_data(call, pass, NULL);
        r = brick_host->child_start(call, self->target, method, brick_host->call_request(call),
                                    &ops, pass, &pass->child);
        if (r < 0)
                return r;
        brick_host->child_recv(pass->child);
        return BRICK_TAKEN;
}

static int chain_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = malloc(sizeof *self);

        brick_sdk_init(host);
        if (!self)
                return -ENOMEM;
        self->target = host->target(ctx, host->node_get(config, "to"));
        self->by_hand = host->node_int(host->node_get(config, "by_hand")) != 0;
        *ret = self;
        return 0;
}

static void chain_destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option options[] = {
        { .name = "to", .type = BRICK_TARGET, .flags = BRICK_OPTION_REQUIRED },
        { .name = "by_hand", .type = BRICK_BOOL, .fallback = "false" },
        { .name = NULL },
};

BRICK_MODULE(.type = BRICK_TYPE_TRANSLATE, .methods = 7, .name = "chain", .version = "1.0",
             .summary = "stands in front of another brick", .options = options,
             .create = chain_create, .destroy = chain_destroy, .start = chain_start,
             .writable = chain_writable);

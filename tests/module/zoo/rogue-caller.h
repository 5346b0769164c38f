/* SPDX-License-Identifier: MIT */
#pragma once

/* A rogue (rogue.h) that calls another LLM brick, its option `to`. */

#include <stdlib.h>

#include "rogue.h"

struct brick_instance {
        struct brick_target *target;
};

static struct brick_target *target; /* of the only instance */

static int rogue_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        static struct brick_instance self;

        target = host->target(ctx, host->node_get(config, "to"));
        *ret = &self;
        return 0;
}

static void rogue_destroy(struct brick_instance *self)
{
}

struct holder {
        struct brick_child *child;
};

static void rogue_done(void *user, const struct brick_outcome *outcome)
{
        struct holder *holder = user;

        brick_host->child_free(holder->child);
        free(holder);
}

/* A child with the call's own request; it is freed at its end. */
static inline struct brick_child *begin(struct brick_call *call)
{
        static const struct brick_child_ops ops = { .struct_size = sizeof ops, .done = rogue_done };
        struct holder *holder = calloc(1, sizeof *holder);

        if (!holder)
                abort();
        if (brick_host->child_start(call, target, BRICK_METHOD_UNARY,
                                    brick_host->call_request(call), &ops, holder,
                                    &holder->child) == 0)
                return holder->child;
        free(holder);
        return NULL;
}

static const struct brick_option rogue_options[] = {
        { .name = "to", .type = BRICK_TARGET, .flags = BRICK_OPTION_REQUIRED },
        { .name = NULL },
};

#define ROGUE_CALLER(title)                                                                 \
        BRICK_LLM(rogue_handlers, .name = title, .version = "1.0", .summary = "misbehaves", \
                  .options = rogue_options, .create = rogue_create, .destroy = rogue_destroy)

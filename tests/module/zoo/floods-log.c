/* SPDX-License-Identifier: MIT */
/* Causes lines of every kind, as fast as it can. */
#include <stdio.h>
#include <stdlib.h>

#include "rogue.h"

struct brick_instance {
        struct brick_ctx *ctx;
};

static struct brick_instance instance;

static int rogue(struct brick_call *call, LLMResponse *response)
{
        char text[32];

        for (int i = 0; i <= 1000; i++) {
                (void)snprintf(text, sizeof text, "%d", i);
                brick_host->set_health(instance.ctx, i % 2, brick_str(text));
                brick_host->call_rewind(call, (size_t)-1);
        }
        for (int i = 0; i < 5000; i++)
                brick_logf(brick_host, instance.ctx, BRICK_LOG_INFO, "line %d", i);
        return 0;
}

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        instance.ctx = ctx;
        *ret = &instance;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

BRICK_LLM(rogue_handlers, .name = "floods-log", .version = "1.0", .summary = "misbehaves",
          .create = create, .destroy = destroy);

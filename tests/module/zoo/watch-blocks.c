/* SPDX-License-Identifier: MIT */
/* Sleeps when it hears of the health of its target, on the thread that serves all calls. */
#include <unistd.h>

#include "rogue-caller.h"

static void changed(void *user, int serving)
{
        (void)usleep(200 * 1000);
}

static int watch_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        (void)rogue_create(host, ctx, config, ret);
        return host->target_watch(target, changed, NULL);
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return brick_host->target_watch(target, changed, NULL); /* too late */
}

BRICK_LLM(rogue_handlers, .name = "watch-blocks", .version = "1.0", .summary = "misbehaves",
          .options = rogue_options, .create = watch_create, .destroy = rogue_destroy);

/* SPDX-License-Identifier: MIT */
/* A log line and a reason of its health that are not UTF-8, and one of each that is too long. */
#include "rogue.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        static char text[5001];

        memset(text, 'x', sizeof text - 1);
        memcpy(text + 246, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 9);
        host->set_health(ctx, 0, brick_str("no \xff index"));
        host->set_health(ctx, 1, brick_str(NULL));
        host->set_health(ctx, 0, brick_str(text));
        brick_logf(host, ctx, BRICK_LOG_NOTICE, "\xe2\x82 half a sign");
        brick_logf(host, ctx, BRICK_LOG_NOTICE, "long: %s", text);
        *ret = (struct brick_instance *)ctx;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return 0;
}

BRICK_LLM(rogue_handlers, .name = "says-bad-utf8", .version = "1.0", .summary = "misbehaves",
          .create = create, .destroy = destroy);

/* SPDX-License-Identifier: MIT */
/* A create() that fails with a reason that is not UTF-8. */
#include "rogue.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        brick_node_errorf(host, ctx, config, "no \xff good");
        return -EINVAL;
}

static void destroy(struct brick_instance *self)
{
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return 0;
}

BRICK_LLM(rogue_handlers, .name = "blames-with-bad-utf8", .version = "1.0", .summary = "misbehaves",
          .create = create, .destroy = destroy);

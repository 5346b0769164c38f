/* SPDX-License-Identifier: MIT */
/* create() blames an option, or says nothing at all. */
#include "brick-sdk.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        const struct brick_node *node = host->node_get(config, "number");

        if (host->node_int(node) == 13)
                brick_node_errorf(host, ctx, node, "13 brings bad luck");
        return -EINVAL;
}

static void destroy(struct brick_instance *self)
{
}

static int unary(struct brick_instance *self, struct brick_call *call, const LLMRequest *request,
                 LLMResponse *response)
{
        return 0;
}

static const struct brick_option options[] = {
        { .name = "number", .type = BRICK_INT, .fallback = "1", .summary = "13 is blamed" },
        {},
};

static const struct brick_llm handlers = { .unary = unary };

BRICK_LLM(handlers, .name = "create-fails", .version = "1.0", .summary = "cannot be made",
          .options = options, .create = create, .destroy = destroy);

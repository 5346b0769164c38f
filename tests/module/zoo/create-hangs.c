/* SPDX-License-Identifier: MIT */
/* create() does not return. */
#include <unistd.h>

#include "brick-sdk.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        while (pause() < 0)
                ;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

static int unary(struct brick_instance *self, struct brick_call *call, const LLMRequest *request,
                 LLMResponse *response)
{
        return 0;
}

static const struct brick_llm handlers = { .unary = unary };

BRICK_LLM(handlers, .name = "create-hangs", .version = "1.0", .summary = "cannot be made",
          .create = create, .destroy = destroy);

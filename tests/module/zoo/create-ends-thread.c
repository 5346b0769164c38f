/* SPDX-License-Identifier: MIT */
/* A create() that calls pthread_exit(). */
#include <pthread.h>

#include "rogue.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        pthread_exit(NULL);
}

static void destroy(struct brick_instance *self)
{
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return 0;
}

BRICK_LLM(rogue_handlers, .name = "create-ends-thread", .version = "1.0", .summary = "misbehaves",
          .create = create, .destroy = destroy);

/* SPDX-License-Identifier: MIT */
/* A sound blocking brick that takes a while, and dies if a call starts after drain(). */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "brick-sdk.h"

static atomic_bool drained;

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        static char self;

        *ret = (struct brick_instance *)(void *)&self;
        return 0;
}

static void destroy(struct brick_instance *self)
{
        if (!atomic_load(&drained))
                abort();
}

static void drain(struct brick_instance *self)
{
        atomic_store(&drained, true);
}

static int unary(struct brick_instance *self, struct brick_call *call, const LLMRequest *request,
                 LLMResponse *response)
{
        const struct timespec a_while = { .tv_nsec = 150000000 };

        if (atomic_load(&drained))
                abort();
        (void)nanosleep(&a_while, NULL);
        response->text = (char *)"ok";
        return 0;
}

static const struct brick_llm handlers = { .unary = unary };

BRICK_LLM(handlers, .name = "drains", .version = "1.0", .summary = "takes a while",
          .flags = BRICK_FLAG_BLOCKING, .create = create, .destroy = destroy, .drain = drain);

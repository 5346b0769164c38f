/* SPDX-License-Identifier: MIT */
/* The same of a start() without the SDK. */
#include <stdlib.h>

#include "brick.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        *ret = (struct brick_instance *)ctx;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        return 404;
}

BRICK_MODULE(.type = BRICK_TYPE_LLM, .methods = 1u << BRICK_METHOD_UNARY,
             .name = "starts-with-code", .version = "1.0", .summary = "misbehaves",
             .create = create, .destroy = destroy, .start = start);

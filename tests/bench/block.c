/* SPDX-License-Identifier: MIT */
/* A blocking brick that does nothing: what it costs to hand a call to another thread and back. */
#include "brick-sdk.h"

static int block_unary(struct brick_instance *self, struct brick_call *call,
                       const IntentionRequest *request, IntentionResponse *response)
{
        return 0;
}

static const struct brick_intention handlers = { .unary = block_unary };

BRICK_INTENTION(handlers, .name = "block", .version = "1.0", .summary = "answers from a thread",
                .flags = BRICK_FLAG_BLOCKING);

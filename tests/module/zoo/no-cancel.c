/* SPDX-License-Identifier: MIT */
/* A sound brick without cancel(): it learns that a call is over from the end of its messages. */
#include <stdlib.h>

#include "brick.h"

static const struct brick_host *host;

static int create(const struct brick_host *table, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        static char self;

        host = table;
        *ret = (struct brick_instance *)(void *)&self;
        return 0;
}

static void destroy(struct brick_instance *self)
{
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        host->call_recv(call);
        return 0;
}

static void message(struct brick_instance *self, struct brick_call *call,
                    const struct brick_bytes *message)
{
        if (!message) {
                host->call_finish(call, 0, brick_str(""));
                return;
        }
        (void)host->call_send(call, *message);
        host->call_recv(call);
}

static void writable(struct brick_instance *self, struct brick_call *call)
{
}

BRICK_MODULE(.type = BRICK_TYPE_COMMON, .methods = 1u << BRICK_METHOD_BIDI_STREAMING,
             .name = "no-cancel", .version = "1.0", .summary = "has no cancel()", .create = create,
             .destroy = destroy, .start = start, .message = message, .writable = writable);

/* SPDX-License-Identifier: MIT */
/* An error code as what create() returns, or an instance that it has freed. */
#include <stdlib.h>

#include "rogue.h"

struct brick_instance {
        int freed;
};

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        const char *mode = host->node_str(host->node_get(config, "mode")).ptr;

        *ret = malloc(sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        free(*ret);
        return strcmp(mode, "code") == 0 ? BRICK_E_NOT_FOUND : -EIO;
}

static void destroy(struct brick_instance *self)
{
        free(self);
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return 0;
}

static const struct brick_option options[] = {
        { .name = "mode", .type = BRICK_ENUM, .choices = "code|errno", .fallback = "code" },
        { .name = NULL },
};

BRICK_LLM(rogue_handlers, .name = "create-returns-code", .version = "1.0", .summary = "misbehaves",
          .options = options, .create = create, .destroy = destroy);

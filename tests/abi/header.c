/* SPDX-License-Identifier: MIT */

/* brick.h is C11 without extensions, and enough for a whole module: this one has no SDK. */

#include "brick.h"

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        (void)config;
        if (!BRICK_HAS(host, child_free))
                brick_logf(host, ctx, BRICK_LOG_NOTICE, "brickd %u.%u has no children",
                           (unsigned)host->abi_major, (unsigned)host->abi_minor);
        *ret = (struct brick_instance *)ctx;
        return 0;
}

static void destroy(struct brick_instance *self)
{
        (void)self;
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)self, (void)call, (void)method;
        return -1;
}

BRICK_MODULE(.type = BRICK_TYPE_GUARD, .methods = 1u << BRICK_METHOD_UNARY, .name = "header",
             .version = "1.0", .summary = "compiles", .create = create, .destroy = destroy,
             .start = start);

int main(void)
{
        const struct brick_module *module = BRICK_ENTRY();

        return module->magic == BRICK_MAGIC && module->struct_size == sizeof *module &&
                               module->option_size == sizeof *module->options &&
                               module->start == start && brick_str("abc").len == 3 &&
                               brick_str(NULL).len == 0
                       ? 0
                       : 1;
}

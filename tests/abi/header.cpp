/* SPDX-License-Identifier: MIT */

/*
 * The headers from C++11. There are no designated initialisers in it, so a module in C++ fills in
 * its descriptor by hand, like this.
 */

#include "brick-sdk.h"
#include "brick-yaml.h"
#include "brick.h"

struct brick_instance {
        struct brick_ctx *ctx;
};

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        (void)config;
        brick_sdk_init(host);
        *ret = new brick_instance{ ctx };
        return 0;
}

static void destroy(struct brick_instance *self)
{
        delete self;
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        (void)self;
        (void)method;
        (void)brick_fail(call, BRICK_E_NOT_FOUND, "nothing here", nullptr);
        return 0;
}

static brick_module describe()
{
        brick_module module = {};

        module.magic = BRICK_MAGIC;
        module.struct_size = sizeof module;
        module.abi_major = BRICK_ABI_MAJOR;
        module.abi_minor = BRICK_ABI_MINOR;
        module.option_size = sizeof(brick_option);
        module.type = BRICK_TYPE_RECTIFY;
        module.methods = 1u << BRICK_METHOD_UNARY;
        module.name = "header";
        module.version = "1.0";
        module.summary = "compiles";
        module.create = create;
        module.destroy = destroy;
        module.start = start;
        return module;
}

extern "C" BRICK_EXPORT const struct brick_module *BRICK_ENTRY()
{
        static const brick_module module = describe();

        return &module;
}

int main()
{
        const brick_module *module = BRICK_ENTRY();

        return module->magic == BRICK_MAGIC && module->start == start ? 0 : 1;
}

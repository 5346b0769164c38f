/* SPDX-License-Identifier: MIT */
#pragma once

/* What is sound in a module whose descriptor is broken: loading it must fail before any of this
 * runs. */

#include <stdlib.h>

#include "brick.h"

static inline int zoo_create(const struct brick_host *host, struct brick_ctx *ctx,
                             const struct brick_node *config, struct brick_instance **ret)
{
        abort();
}

static inline void zoo_destroy(struct brick_instance *self)
{
        abort();
}

static inline int zoo_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        abort();
}

#define ZOO_MODULE(...)                                                \
        BRICK_EXPORT const struct brick_module *brick_module_v1(void); \
        const struct brick_module *brick_module_v1(void)               \
        {                                                              \
                static struct brick_module module = {                  \
                        .magic = BRICK_MAGIC,                          \
                        .struct_size = sizeof module,                  \
                        .abi_major = BRICK_ABI_MAJOR,                  \
                        .abi_minor = BRICK_ABI_MINOR,                  \
                        .type = BRICK_TYPE_GUARD,                      \
                        .methods = 1u << BRICK_METHOD_UNARY,           \
                        .option_size = sizeof(struct brick_option),    \
                        .name = "zoo",                                 \
                        .version = "1.0",                              \
                        .summary = "is broken",                        \
                        .create = zoo_create,                          \
                        .destroy = zoo_destroy,                        \
                        .start = zoo_start,                            \
                };                                                     \
                                                                       \
                __VA_ARGS__;                                           \
                return &module;                                        \
        }                                                              \
        struct brick_module

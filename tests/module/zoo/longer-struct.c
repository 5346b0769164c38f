/* SPDX-License-Identifier: MIT */
/* Sound: built with a header of a later minor, whose struct and options are longer. */
#include "zoo.h"

struct later_option {
        struct brick_option option;
        uint64_t more;
};

static const struct later_option options[] = {
        { .option = { .name = "first", .type = BRICK_INT, .fallback = "1" }, .more = 1 },
        { .option = { .name = "second", .type = BRICK_STRING }, .more = 2 },
        {},
};

static struct {
        struct brick_module module;
        void (*more)(void);
} later;

BRICK_EXPORT const struct brick_module *brick_module_v1(void);
const struct brick_module *brick_module_v1(void)
{
        later.module = (struct brick_module){
                .magic = BRICK_MAGIC,
                .struct_size = sizeof later,
                .abi_major = BRICK_ABI_MAJOR,
                .abi_minor = BRICK_ABI_MINOR + 1,
                .type = BRICK_TYPE_GUARD,
                .methods = 1u << BRICK_METHOD_UNARY,
                .option_size = sizeof(struct later_option),
                .name = "longer-struct",
                .version = "2.0",
                .summary = "is from the future",
                .options = &options[0].option,
                .create = zoo_create,
                .destroy = zoo_destroy,
                .start = zoo_start,
        };
        return &later.module;
}

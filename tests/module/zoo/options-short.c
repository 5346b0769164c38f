/* SPDX-License-Identifier: MIT */
/* The options of a module of ABI 1.2: what follows each in memory is not its items. */
#include "zoo.h"

struct option_of_1_2 {
        const char *name, *fallback, *summary, *choices;
        int64_t min, max;
        uint32_t type, flags;
};

static const struct option_of_1_2 options[] = {
        { .name = "any", .type = BRICK_MAP },
        { .name = "list", .type = BRICK_LIST, .fallback = "[a, { b: c }]" },
        {},
};

ZOO_MODULE(module.abi_minor = 2; module.option_size = sizeof options[0];
           module.options = (const void *)options);

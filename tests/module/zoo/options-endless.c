/* SPDX-License-Identifier: MIT */
/* A table whose end is missing, inside another one. */
#include "zoo.h"

static struct brick_option endless[1000];
static const struct brick_option options[] = {
        { .name = "odd", .type = BRICK_MAP, .items = endless },
        {},
};

ZOO_MODULE(for (size_t i = 0; i < 1000; i++)
                   endless[i] = (struct brick_option){ .name = "same", .type = BRICK_INT };
           module.options = options);

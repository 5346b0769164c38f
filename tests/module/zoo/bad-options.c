/* SPDX-License-Identifier: MIT */
/* An option table with a mistake: which one, the build says. */
#include "zoo.h"

static const struct brick_option options[] = {
        { .name = "fine", .type = BRICK_INT, .fallback = "3", .min = 1, .max = 9 },
        OPTION,
        {},
};

ZOO_MODULE(module.options = options);

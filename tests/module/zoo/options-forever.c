/* SPDX-License-Identifier: MIT */
/* What stands in for `back` holds another `back`, and so on. */
#include "zoo.h"

static const struct brick_option options[];
static const struct brick_option middle[] = {
        { .name = "on", .type = BRICK_MAP, .items = options },
        {},
};
static const struct brick_option options[] = {
        { .name = "straight", .type = BRICK_MAP, .items = middle },
        { .name = "back", .type = BRICK_MAP, .items = middle, .fallback = "{ on: {} }" },
        {},
};

ZOO_MODULE(module.options = options);

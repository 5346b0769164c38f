/* SPDX-License-Identifier: MIT */
/* Sound: tables inside tables, one of them inside itself. */
#include "zoo.h"

static const struct brick_option names[] = { { .type = BRICK_TARGET } };
static const struct brick_option rows[] = { { .type = BRICK_LIST, .items = names } };
static const struct brick_option step[];
static const struct brick_option steps[] = { { .type = BRICK_MAP, .items = step } };

static const struct brick_option step[] = {
        { .name = "brick",
          .type = BRICK_LIST,
          .items = names,
          .flags = BRICK_OPTION_ONE_OR_MORE,
          .summary = "who answers" },
        { .name = "wait", .type = BRICK_DURATION, .fallback = "3s" },
        { .name = "parallel", .type = BRICK_LIST, .items = steps, .fallback = "[]" },
        {},
};

static const struct brick_option options[] = {
        { .name = "steps",
          .type = BRICK_LIST,
          .items = steps,
          .min = 1,
          .max = INT64_MAX,
          .flags = BRICK_OPTION_REQUIRED,
          .summary = "in this order" },
        { .name = "first", .type = BRICK_MAP, .items = step },
        { .name = "rows", .type = BRICK_LIST, .items = rows },
        { .name = "any", .type = BRICK_LIST, .fallback = "[]" },
        {},
};

ZOO_MODULE(module.options = options);

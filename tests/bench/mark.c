/* SPDX-License-Identifier: MIT */
/* A brick for callgrind: each call ends one count of instructions and begins the next. */
#include <valgrind/callgrind.h>

#include "brick-sdk.h"

static int mark_unary(struct brick_instance *self, struct brick_call *call,
                      const RectifyRequest *request, RectifyResponse *response)
{
        CALLGRIND_DUMP_STATS;
        return 0;
}

static const struct brick_rectify handlers = { .unary = mark_unary };

BRICK_RECTIFY(handlers, .name = "mark", .version = "1.0", .summary = "marks places for callgrind");

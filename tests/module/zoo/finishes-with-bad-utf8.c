/* SPDX-License-Identifier: MIT */
/* A gRPC status whose reason is not UTF-8. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        brick_host->call_finish(call, 14, brick_str("away: \xc3"));
        return BRICK_TAKEN;
}

ROGUE("finishes-with-bad-utf8");

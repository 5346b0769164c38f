/* SPDX-License-Identifier: MIT */
/* A reply that is no message of its type. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        const struct brick_bytes garbage = { "\xff\xff\xff\xff", 4 };

        (void)brick_host->call_send(call, garbage);
        brick_finish(call);
        return BRICK_TAKEN;
}

ROGUE("sends-garbage");

/* SPDX-License-Identifier: MIT */
/* Leaves a call to a child after it has finished it. */
#include "rogue-caller.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        struct brick_child *child = begin(call);

        brick_reply(call, &response->base);
        (void)brick_host->call_relay(call, child);
        return BRICK_TAKEN;
}

ROGUE_CALLER("relays-finished");

/* SPDX-License-Identifier: MIT */
/* Leaves a call to a child twice, and then finishes it. */
#include "rogue-caller.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        struct brick_child *child = begin(call);

        (void)brick_host->call_relay(call, child);
        (void)brick_host->call_relay(call, child);
        (void)begin(call);
        brick_host->call_finish(call, 13, brick_str("never seen"));
        return BRICK_TAKEN;
}

ROGUE_CALLER("relays-twice");

/* SPDX-License-Identifier: MIT */
/* Sends a second reply after the end. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        brick_reply(call, &response->base);
        (void)brick_send(call, &response->base);
        return BRICK_TAKEN;
}

ROGUE("sends-after-finish");

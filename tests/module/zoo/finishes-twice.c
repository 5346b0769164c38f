/* SPDX-License-Identifier: MIT */
/* Finishes a call that it has finished. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        brick_reply(call, &response->base);
        brick_finish(call);
        return BRICK_TAKEN;
}

ROGUE("finishes-twice");

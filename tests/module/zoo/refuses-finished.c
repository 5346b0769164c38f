/* SPDX-License-Identifier: MIT */
/* Finishes a call in start() and then refuses it. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        brick_reply(call, &response->base);
        return -EIO;
}

ROGUE("refuses-finished");

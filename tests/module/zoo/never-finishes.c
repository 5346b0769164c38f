/* SPDX-License-Identifier: MIT */
/* Keeps the call for ever, and does not listen to cancel(). */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return BRICK_TAKEN;
}

ROGUE("never-finishes");

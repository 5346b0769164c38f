/* SPDX-License-Identifier: MIT */
/* The reply of a unary call, by hand and once more with the return. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return brick_send(call, &response->base);
}

ROGUE("sends-twice");

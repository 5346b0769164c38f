/* SPDX-License-Identifier: MIT */
/* An error code as what a handler returns. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return BRICK_E_NOT_FOUND;
}

ROGUE("returns-code");

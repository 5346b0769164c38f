/* SPDX-License-Identifier: MIT */
/* A bad pointer in a call. */
#include "rogue.h"

static int *volatile nowhere;

static int rogue(struct brick_call *call, LLMResponse *response)
{
        *nowhere = 1;
        return 0;
}

ROGUE("call-crashes");

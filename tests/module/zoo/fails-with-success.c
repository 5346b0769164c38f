/* SPDX-License-Identifier: MIT */
/* An error with the code of success. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return brick_fail(call, 200, "all is well", NULL);
}

ROGUE("fails-with-success");

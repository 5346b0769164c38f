/* SPDX-License-Identifier: MIT */
/* A call of exit(), as a library might do that has found a mistake. */
#include <stdlib.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        exit(0);
}

ROGUE("exits");

/* SPDX-License-Identifier: MIT */
/* call_rewind() with a mark that was never given. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        brick_host->call_rewind(call, brick_host->call_mark(call) + 4096);
        return 0;
}

ROGUE("rewinds-too-far");

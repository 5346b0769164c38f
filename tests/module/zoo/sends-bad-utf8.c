/* SPDX-License-Identifier: MIT */
/* A reply whose text is not UTF-8. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        response->text = (char *)"\xc3\x28";
        return 0;
}

ROGUE("sends-bad-utf8");

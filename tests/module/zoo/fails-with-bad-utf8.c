/* SPDX-License-Identifier: MIT */
/* An error whose texts are not UTF-8. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return brick_fail(call, BRICK_E_PARAMETER_INVALID, "cut \xe2\x82", "\xff in the detail");
}

ROGUE("fails-with-bad-utf8");

/* SPDX-License-Identifier: MIT */
/* Finishes a call in fire(), and again in the next. */
#include "rogue.h"

static void finish(void *user)
{
        brick_host->call_finish(user, 9, brick_str("in time"));
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        (void)brick_after(call, 0, finish, call, NULL);
        (void)brick_after(call, 0, finish, call, NULL);
        (void)brick_after(call, 1000000, finish, call, NULL);
        return BRICK_TAKEN;
}

ROGUE("timer-finishes");

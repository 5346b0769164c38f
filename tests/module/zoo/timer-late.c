/* SPDX-License-Identifier: MIT */
/* Sets a timer when it has finished the call, and frees it twice. */
#include <stdlib.h>

#include "rogue.h"

static void never(void *user)
{
        abort();
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        struct brick_timer *timer = NULL;

        (void)brick_host->timer_new(call, never, NULL, &timer);
        brick_reply(call, &response->base);
        brick_host->timer_set(timer, 0);
        brick_host->timer_free(timer);
        brick_host->timer_free(timer);
        (void)brick_host->timer_new(call, never, NULL, &timer);
        return BRICK_TAKEN;
}

ROGUE("timer-late");

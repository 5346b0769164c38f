/* SPDX-License-Identifier: MIT */
/* Holds the polling thread for half a second. */
#include <time.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        const struct timespec half = { .tv_nsec = 500000000 };

        (void)nanosleep(&half, NULL);
        return 0;
}

ROGUE("blocks");

/* SPDX-License-Identifier: MIT */
/* A brick that forks, and returns in the child as well. */
#include <errno.h>
#include <unistd.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        return fork() < 0 ? -errno : 0;
}

ROGUE("forks");

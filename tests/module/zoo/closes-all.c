/* SPDX-License-Identifier: MIT */
/* A brick that closes descriptors which are not its own. */
#include <unistd.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        for (int fd = 3; fd < 1024; fd++)
                (void)close(fd);
        return 0;
}

ROGUE("closes-all");

/* SPDX-License-Identifier: MIT */
/* pthread_exit() on a thread of brickd's, as a library might do that has found a mistake. */
#include <pthread.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        pthread_exit(NULL);
}

#ifndef ROGUE_FLAGS
#define ROGUE_FLAGS 0
#endif
BRICK_LLM(rogue_handlers, .name = "ends-thread", .flags = ROGUE_FLAGS, .version = "1.0",
          .summary = "misbehaves");

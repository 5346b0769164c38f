/* SPDX-License-Identifier: MIT */
/* The same on a thread of the brick's own. */
#include <pthread.h>
#include <stdlib.h>

#include "rogue.h"

static void *thread(void *data)
{
        exit(3);
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        pthread_t id;

        return pthread_create(&id, NULL, thread, NULL) == 0 ? BRICK_TAKEN : -EAGAIN;
}

ROGUE("thread-exits");

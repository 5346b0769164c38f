/* SPDX-License-Identifier: MIT */
/* Finishes a call a second time when its memory is another call's already. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "rogue.h"

static void *finish_later(void *call)
{
        const struct timespec later = { .tv_nsec = 200000000 };

        (void)nanosleep(&later, NULL);
        (void)brick_fail(call, 2003, "not meant for you", "");
        return NULL;
}

static int rogue(struct brick_call *call, LLMResponse *response)
{
        pthread_t thread;

        if (pthread_create(&thread, NULL, finish_later, call) != 0)
                abort();
        (void)pthread_detach(thread);
        return 0;
}

ROGUE("finishes-late");

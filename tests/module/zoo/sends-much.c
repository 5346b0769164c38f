/* SPDX-License-Identifier: MIT */
/* A reply that is larger than its port may allow. */
#include <stdlib.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        const size_t size = 100000;
        char *text = malloc(size + 1);

        if (!text)
                return -ENOMEM;
        memset(text, 'x', size);
        text[size] = '\0';
        response->text = text;
        brick_reply(call, &response->base);
        free(text);
        return BRICK_TAKEN;
}

ROGUE("sends-much");

/* SPDX-License-Identifier: MIT */
/* A reply whose error field the brick has set. */
#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        response->error = brick_new(call, &protocols__grpc__common__error_detail__descriptor);
        if (!response->error)
                return -ENOMEM;
        response->error->code = BRICK_E_NOT_FOUND;
        return 0;
}

ROGUE("sends-error");

/* SPDX-License-Identifier: MIT */
/* Leaves a call to the child of another one. */
#include "rogue-caller.h"

static struct brick_call *kept; /* the first call, and its child */
static struct brick_child *child;

static int rogue(struct brick_call *call, LLMResponse *response)
{
        int r;

        if (!kept) {
                kept = call;
                child = begin(call);
                return BRICK_TAKEN;
        }
        r = brick_host->call_relay(call, child);
        brick_host->call_finish(kept, 1, brick_str(""));
        return r;
}

ROGUE_CALLER("relays-foreign");

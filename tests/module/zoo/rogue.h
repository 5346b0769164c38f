/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A brick that misbehaves on request: an LLM brick without state whose Unary answers "ok", and does
 * what it must not when the prompt is "now".
 */

#include <string.h>

#include "brick-sdk.h"

/* The misbehaviour; its answer is a handler's. */
static int rogue(struct brick_call *call, LLMResponse *response);

static int rogue_unary(struct brick_instance *self, struct brick_call *call,
                       const LLMRequest *request, LLMResponse *response)
{
        response->text = (char *)"ok";
        response->is_final = 1;
        return strcmp(request->prompt, "now") == 0 ? rogue(call, response) : 0;
}

static const struct brick_llm rogue_handlers = { .unary = rogue_unary };

#define ROGUE(title) \
        BRICK_LLM(rogue_handlers, .name = title, .version = "1.0", .summary = "misbehaves")

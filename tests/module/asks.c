/* SPDX-License-Identifier: MIT */

/*
 * A Compose brick that asks an LLM brick about the snippets of its documents, as brick(7) shows it:
 * { text: ANSWER }, or the LLM brick's error.
 */

#include <stdlib.h>

#include "brick-sdk.h"

struct brick_instance {
        struct brick_target *target;
};

/* In the memory of the call. */
struct ask {
        struct brick_call *call;
        struct brick_child *child;
        ComposeResponse *response;
        const LLMResponse *answer;
};

static void ask_destroy(void *data)
{
        struct ask *ask = data;

        if (ask->child)
                brick_host->child_free(ask->child);
}

static void on_message(void *user, struct brick_bytes message)
{
        struct ask *ask = user;

        ask->answer = brick_unpack(ask->call, BRICK_DESCRIPTOR(LLMResponse), message);
}

static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct ask *ask = user;
        int r;

        if (brick_fail_as(ask->call, outcome) == BRICK_TAKEN)
                return;
        r = ask->answer ? brick_struct_add_string(ask->call, ask->response->output, "text",
                                                  ask->answer->text)
                        : -ENOMEM;
        brick_end(ask->call, r, ask->response);
}

static const struct brick_child_ops ops = {
        .struct_size = sizeof ops,
        .message = on_message,
        .done = on_done,
};

static LLMRequest *new_request(struct brick_call *call, const ComposeRequest *request)
{
        struct brick_text prompt = BRICK_TEXT(call);
        LLMRequest *llm = BRICK_NEW(call, LLMRequest);

        for (size_t i = 0; i < request->n_input_documents; i++)
                brick_text_adds(&prompt, request->input_documents[i]->snippet);
        if (llm)
                llm->prompt = brick_text_end(&prompt);
        return llm && llm->prompt ? llm : NULL;
}

static int asks_unary(struct brick_instance *self, struct brick_call *call,
                      const ComposeRequest *request, ComposeResponse *response)
{
        LLMRequest *llm = new_request(call, request);
        struct ask *ask = brick_alloc(call, sizeof *ask);
        int r;

        if (!llm || !ask)
                return -ENOMEM;
        *ask = (struct ask){ .call = call, .response = response };
        brick_host->call_set_data(call, ask, ask_destroy);
        r = brick_child_start(call, self->target, BRICK_METHOD_UNARY, &llm->base, &ops, ask,
                              &ask->child);
        if (r < 0)
                return r;
        brick_host->child_recv(ask->child);
        return BRICK_TAKEN;
}

static int asks_create(const struct brick_host *host, struct brick_ctx *ctx,
                       const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = malloc(sizeof *self);

        if (!self)
                return -ENOMEM;
        self->target = host->target(ctx, host->node_get(config, "llm"));
        *ret = self;
        return 0;
}

static void asks_destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option asks_options[] = {
        { .name = "llm",
          .type = BRICK_TARGET,
          .flags = BRICK_OPTION_REQUIRED,
          .summary = "the LLM brick to ask" },
        { .name = NULL },
};

static const struct brick_compose handlers = { .unary = asks_unary };

BRICK_COMPOSE(handlers, .name = "asks", .version = "1.0", .summary = "asks an LLM brick",
              .options = asks_options, .create = asks_create, .destroy = asks_destroy);

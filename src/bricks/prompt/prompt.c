/* SPDX-License-Identifier: MIT */

/* An LLM brick as a Guard, Intention, Rectify, Translate or Compose brick. See README.md. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "ask.h"

struct brick_instance {
        struct config *config;
};

static const char summary[] = "an LLM brick as a brick of another type, by a prompt";

static void prompt_destroy(struct brick_instance *self)
{
        self->config = config_free(self->config);
        free(self);
}

static void on_health(void *user, int serving)
{
        struct config *config = user;
        struct brick_str name = brick_host->target_name(config->llm);
        char reason[128];

        (void)snprintf(reason, sizeof reason, "%.*s does not serve", (int)name.len, name.ptr);
        brick_host->set_health(config->ctx, serving, brick_str(reason));
}

static int prompt_create(const struct brick_host *host, struct brick_ctx *ctx,
                         const struct brick_node *node, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        brick_sdk_init(host);
        if (!self)
                return -ENOMEM;
        r = config_new(&self->config, ctx, node);
        if (r == 0)
                r = host->target_watch(self->config->llm, on_health, self->config);
        if (r < 0)
                prompt_destroy(self);
        else
                *ret = self;
        return r;
}

static int service_info(const struct brick_instance *self, struct brick_call *call)
{
        bool streams = self->config->type == BRICK_TYPE_TRANSLATE ||
                       self->config->type == BRICK_TYPE_COMPOSE;
        const struct brick_module described = {
                .name = "prompt",
                .version = "1.0",
                .summary = summary,
                .methods = streams ? 1u << BRICK_METHOD_OUTPUT_STREAMING : 0,
        };
        ServiceInfoResponse *info = brick_service_info(call, &described);

        if (!info)
                return -ENOMEM;
        brick_reply(call, &info->base);
        return 0;
}

static int prompt_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        return method == BRICK_METHOD_SERVICE_INFO ? service_info(self, call)
                                                   : ask_start(self->config, call, method);
}

static void prompt_writable(struct brick_instance *self, struct brick_call *call)
{
        ask_writable(brick_host->call_data(call));
}

static void prompt_cancel(struct brick_instance *self, struct brick_call *call)
{
        ask_cancel(brick_host->call_data(call));
}

BRICK_MODULE(.type = BRICK_TYPE_ANY,
             .methods = 1u << BRICK_METHOD_SERVICE_INFO | 1u << BRICK_METHOD_UNARY |
                        1u << BRICK_METHOD_OUTPUT_STREAMING,
             .host_minor = 3, .name = "prompt", .version = "1.0", .summary = summary,
             .options = prompt_options, .create = prompt_create, .destroy = prompt_destroy,
             .start = prompt_start, .writable = prompt_writable, .cancel = prompt_cancel);

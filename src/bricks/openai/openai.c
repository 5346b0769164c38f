/* SPDX-License-Identifier: MIT */

/* An LLM brick that calls an OpenAI-compatible API over HTTP. See README.md. */

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>

#include "job.h"

struct brick_instance {
        struct config *config;
        struct engine *engine;
};

static void openai_destroy(struct brick_instance *self)
{
        (void)engine_free(self->engine);
        (void)config_free(self->config);
        free(self);
        curl_global_cleanup();
}

static int openai_create(const struct brick_host *host, struct brick_ctx *ctx,
                         const struct brick_node *node, struct brick_instance **ret)
{
        struct brick_instance *self;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        self = calloc(1, sizeof *self);
        if (!self) {
                curl_global_cleanup();
                return -ENOMEM;
        }
        r = config_new(&self->config, ctx, node);
        if (r == 0)
                r = engine_new(&self->engine, self->config);
        if (r < 0) {
                openai_destroy(self);
                return r;
        }
        *ret = self;
        return 0;
}

static void drop_job(void *data)
{
        job_unref(data);
}

static int take_call(struct brick_instance *self, struct brick_call *call,
                     const LLMRequest *request, bool stream)
{
        struct job *job;
        int r;

        r = job_new(&job, self->engine, call, request, stream);
        if (r == -EINVAL)
                return brick_fail(call, BRICK_E_PARAMETER_INVALID,
                                  "JSON cannot represent the request", NULL);
        if (r == -ERANGE)
                return brick_fail(call, BRICK_E_PARAMETER_INVALID,
                                  "the metadata x-temperature must be a number from 0 on", NULL);
        if (r == -ENODATA)
                return brick_fail(call, BRICK_E_PARAMETER_MISSING,
                                  "the request has neither a prompt nor a context", NULL);
        if (r < 0)
                return r;
        brick_host->call_set_data(call, job, drop_job);
        engine_order(self->engine, job, ORDER_START);
        return BRICK_TAKEN;
}

static int openai_unary(struct brick_instance *self, struct brick_call *call,
                        const LLMRequest *request, LLMResponse *response)
{
        return take_call(self, call, request, false);
}

static int openai_output_streaming(struct brick_instance *self, struct brick_call *call,
                                   const LLMRequest *request)
{
        return take_call(self, call, request, true);
}

static int openai_service_info(struct brick_instance *self, struct brick_call *call,
                               ServiceInfoResponse *response)
{
        response->n_models = 0;
        for (char **name = self->config->models; *name; name++) {
                ModelInfo *model = brick_add(call, response, models);

                if (!model)
                        return -ENOMEM;
                model->model_id = *name;
                model->support_streaming = true;
        }
        return 0;
}

static void openai_writable(struct brick_instance *self, struct brick_call *call)
{
        engine_order(self->engine, brick_host->call_data(call), ORDER_RESUME);
}

static void openai_cancel(struct brick_instance *self, struct brick_call *call)
{
        engine_order(self->engine, brick_host->call_data(call), ORDER_CANCEL);
}

static const struct brick_llm handlers = {
        .service_info = openai_service_info,
        .unary = openai_unary,
        .output_streaming = openai_output_streaming,
};

BRICK_LLM(handlers, .name = "openai", .version = "1.0", .host_minor = 2,
          .summary = "calls an OpenAI-compatible API: /chat/completions", .options = config_options,
          .create = openai_create, .destroy = openai_destroy, .writable = openai_writable,
          .cancel = openai_cancel);

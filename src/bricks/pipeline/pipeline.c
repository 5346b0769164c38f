/* SPDX-License-Identifier: MIT */

/* pipeline: one brick made of others, by steps in the configuration. See brickd.pipeline(5). */

#include <stdlib.h>

#include "health.h"
#include "run.h"
#include "step.h"
#include "stream.h"

struct brick_instance {
        struct plan plan;
        struct health health;
};

static const struct brick_module *described(void);

static void instance_free(struct brick_instance *self)
{
        plan_done(&self->plan);
        free(self);
}

static int pipeline_create(const struct brick_host *host, struct brick_ctx *ctx,
                           const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        brick_sdk_init(host);
        if (!self)
                return -ENOMEM;
        self->plan.ctx = ctx;
        r = plan_read(&self->plan, config);
        if (r == 0)
                r = plan_check(&self->plan, config);
        if (r == 0)
                r = health_begin(&self->health, &self->plan);
        if (r < 0) {
                instance_free(self);
                return r;
        }
        *ret = self;
        return 0;
}

static void pipeline_destroy(struct brick_instance *self)
{
        health_done(&self->health);
        instance_free(self);
}

static int pipeline_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        ServiceInfoResponse *info;

        if (method != BRICK_METHOD_SERVICE_INFO)
                return run_start(&self->plan, call, method);
        info = brick_service_info(call, described());
        if (!info)
                return -ENOMEM;
        brick_reply(call, &info->base);
        return 0;
}

static void pipeline_writable(struct brick_instance *self, struct brick_call *call)
{
        struct run *run = brick_host->call_data(call);
        const struct step *step = run->waiting;

        if (run->over || !step)
                return;
        run->waiting = NULL;
        if (state_of(run, step)->stream)
                stream_writable(state_of(run, step)->stream);
        else
                forward_writable(state_of(run, step)->forward);
}

static void pipeline_cancel(struct brick_instance *self, struct brick_call *call)
{
        struct run *run = brick_host->call_data(call);

        if (!run->over)
                run_cancelled(run);
}

BRICK_MODULE(.type = BRICK_TYPE_ANY, .host_minor = 3,
             .methods = 1u << BRICK_METHOD_SERVICE_INFO | 1u << BRICK_METHOD_UNARY |
                        1u << BRICK_METHOD_OUTPUT_STREAMING,
             .name = "pipeline", .version = "1.0", .summary = "one brick made of others, by steps",
             .options = plan_options, .create = pipeline_create, .destroy = pipeline_destroy,
             .start = pipeline_start, .writable = pipeline_writable, .cancel = pipeline_cancel);

static const struct brick_module *described(void)
{
        return BRICK_ENTRY();
}

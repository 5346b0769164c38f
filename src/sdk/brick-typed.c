/* SPDX-License-Identifier: MIT */

#include "brick-sdk.h"

ServiceInfoResponse *brick_service_info(struct brick_call *call, const struct brick_module *module)
{
        const uint32_t streams = 1u << BRICK_METHOD_OUTPUT_STREAMING;
        ServiceInfoResponse *info;
        ModelInfo *model;

        info = brick_new(call, &protocols__grpc__common__service_info_response__descriptor);
        if (!info)
                return NULL;
        model = brick_add(call, info, models);
        if (!model)
                return NULL;
        info->service_name = model->model_id = brick_const(module->name);
        info->version = model->version = brick_const(module->version);
        model->description = brick_const(module->summary);
        model->support_streaming = (module->methods & streams) != 0;
        return info;
}

/* create() of a brick without state. */
static int create_stateless(const struct brick_host *host, struct brick_ctx *ctx,
                            const struct brick_node *config, struct brick_instance **ret)
{
        *ret = (struct brick_instance *)ctx;
        return 0;
}

static void destroy_stateless(struct brick_instance *self)
{
}

const struct brick_module *brick_typed_module(struct brick_typed *self,
                                              const struct brick_module *given)
{
        struct brick_module *module = &self->module;

        if (module->magic == BRICK_MAGIC)
                return module;
        if (!module->create && !module->destroy) {
                module->create = create_stateless;
                module->destroy = destroy_stateless;
        }
        self->create = module->create;
        if (module->create)
                module->create = given->create;
        module->start = given->start;
        module->type = given->type;
        module->methods = given->methods;
        module->abi_major = BRICK_ABI_MAJOR;
        module->abi_minor = BRICK_ABI_MINOR;
        module->struct_size = sizeof *module;
        module->option_size = sizeof *module->options;
        module->magic = BRICK_MAGIC;
        return module;
}

/* SPDX-License-Identifier: MIT */

/* Every macro of the headers, for a compiler that warns of all it can. */

#include <brick-sdk.h>
#include <brick-yaml.h>
#include <brick.h>

static int service_info(struct brick_instance *self, struct brick_call *call,
                        ServiceInfoResponse *response)
{
        (void)self;
        return brick_add_string(call, response->models[0], supported_languages, "de");
}

static int unary(struct brick_instance *self, struct brick_call *call, const CommonRequest *request,
                 CommonResponse *response)
{
        struct brick_text text = BRICK_TEXT(call);
        LLMResponse *llm = BRICK_NEW(call, LLMResponse);
        RetrievalResponse *retrieval = BRICK_NEW(call, RetrievalResponse);
        RetrievalDocument **documents;
        GuardResult *result;
        GuardResponse *guard = BRICK_NEW(call, GuardResponse);

        (void)self, (void)request;
        if (!llm || !retrieval || !guard)
                return -ENOMEM;
        result = brick_add(call, guard, results);
        documents = brick_add_n(call, retrieval, documents, 2);
        if (!result || !documents)
                return -ENOMEM;
        llm->text = brick_const("a constant");
        brick_text_printf(&text, "%s %d", "one", 1);
        return brick_struct_add_string(call, response->data, "text", brick_text_end(&text));
}

static int output_streaming(struct brick_instance *self, struct brick_call *call,
                            const CommonRequest *request)
{
        (void)self, (void)request;
        return brick_failf(call, BRICK_E_NOT_FOUND, "detail", "no %s", "luck");
}

static int input_streaming(struct brick_instance *self, struct brick_call *call,
                           CommonResponse *response)
{
        CommonRequest *request = NULL;

        (void)self, (void)response;
        return brick_read(call, &request) < 0 ? -EIO : 0;
}

static int bidi_streaming(struct brick_instance *self, struct brick_call *call)
{
        (void)self;
        brick_end(call, -ENOSYS, NULL);
        return BRICK_TAKEN;
}

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        if (BRICK_HAS(host, call_fail_errno))
                brick_logf(host, ctx, BRICK_LOG_NOTICE, "as of ABI %d.%d", BRICK_ABI_MAJOR, 3);
        brick_node_errorf(host, ctx, config, "never %s", "happy");
        *ret = (struct brick_instance *)ctx;
        return -EINVAL;
}

static void destroy(struct brick_instance *self)
{
        (void)self;
}

static const struct brick_option options[] = {
        { .name = "limit", .type = BRICK_INT, .fallback = "10", .min = 1, .max = 100 },
        { .name = NULL },
};

static const struct brick_common handlers = {
        .service_info = service_info,
        .unary = unary,
        .output_streaming = output_streaming,
        .input_streaming = input_streaming,
        .bidi_streaming = bidi_streaming,
};

BRICK_COMMON(handlers, .name = "pedantic", .version = "1.0", .summary = "compiles",
             .flags = BRICK_FLAG_BLOCKING, .options = options, .create = create,
             .destroy = destroy);

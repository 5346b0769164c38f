/* SPDX-License-Identifier: MIT */

/* libbrick, through typed bricks of this file and a fake host. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BRICK_STATIC common
#include "fake-host.h"

/* ---- a Common brick with every shape, blocking ------------------------------------------ */

struct brick_instance {
        int64_t limit;
};

static int common_unary(struct brick_instance *self, struct brick_call *call,
                        const CommonRequest *request, CommonResponse *response)
{
        const char *what = brick_struct_get_string(request->data, "do");

        if (!what)
                return 0;
        if (strcmp(what, "fail") == 0)
                return brick_failf(call, BRICK_E_NOT_FOUND, "the detail", "no %s", "luck");
        if (strcmp(what, "refuse") == 0)
                return -EIO;
        if (strcmp(what, "unimplemented") == 0)
                return -ENOSYS;
        if (brick_struct_add_string(call, response->data, "said", what) < 0 ||
            brick_struct_add_number(call, response->data, "limit", (double)self->limit) < 0 ||
            brick_struct_add_bool(call, response->data, "true", 7) < 0)
                return -ENOMEM;
        return 0;
}

static int common_output(struct brick_instance *self, struct brick_call *call,
                         const CommonRequest *request)
{
        CommonResponse response = PROTOCOLS__GRPC__COMMON__COMMON_RESPONSE__INIT;
        int r;

        response.data = request->data;
        for (int64_t i = 0; i < self->limit; i++) {
                r = brick_send(call, &response.base);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int common_input(struct brick_instance *self, struct brick_call *call,
                        CommonResponse *response)
{
        CommonRequest *request = NULL;
        double n = 0;
        int r;

        while ((r = brick_read(call, &request)) > 0)
                n++;
        assert(!request);
        if (r < 0)
                return r;
        return brick_struct_add_number(call, response->data, "n", n);
}

static int common_bidi(struct brick_instance *self, struct brick_call *call)
{
        CommonResponse response = PROTOCOLS__GRPC__COMMON__COMMON_RESPONSE__INIT;
        CommonRequest *request = NULL;
        int r;

        while ((r = brick_read(call, &request)) > 0) {
                if (brick_struct_get(request->data, "stop"))
                        break;
                response.data = request->data;
                r = brick_send(call, &response.base);
                if (r < 0)
                        break;
        }
        brick_read_end(&request);
        return r < 0 ? r : 0;
}

static int common_create(const struct brick_host *host, struct brick_ctx *ctx,
                         const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = malloc(sizeof *self);

        assert(self && brick_host == host);
        self->limit = host->node_int(host->node_get(config, "limit"));
        *ret = self;
        return 0;
}

static void common_destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option common_options[] = {
        { .name = "limit", .type = BRICK_INT, .fallback = "3" },
        {},
};

static const struct brick_common common_handlers = {
        .unary = common_unary,
        .output_streaming = common_output,
        .input_streaming = common_input,
        .bidi_streaming = common_bidi,
};

BRICK_COMMON(common_handlers, .name = "common", .version = "1.2", .summary = "for tests",
             .flags = BRICK_FLAG_BLOCKING, .options = common_options, .create = common_create,
             .destroy = common_destroy);

/* ---- helpers ---------------------------------------------------------------------------- */

static const ProtobufCMessageDescriptor *const common_response =
        &protocols__grpc__common__common_response__descriptor;

/* { key: text } in memory that the next one reuses. */
static const ProtobufCMessage *common_request(const char *key, const char *text)
{
        static Google__Protobuf__Struct__FieldsEntry entry, *entries[] = { &entry };
        static CommonRequest request;
        static Struct data;
        static Value value;

        google__protobuf__value__init(&value);
        value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value.string_value = (char *)text;
        google__protobuf__struct__fields_entry__init(&entry);
        entry.key = (char *)key;
        entry.value = &value;
        google__protobuf__struct__init(&data);
        data.n_fields = 1;
        data.fields = entries;
        protocols__grpc__common__common_request__init(&request);
        request.data = &data;
        return &request.base;
}

static struct fake_host *common_host(const char *options)
{
        struct fake_host *host;

        assert(fake_host_new(&host, common_brick_module_v1(), options) == 0);
        return host;
}

/* ---- tests ------------------------------------------------------------------------------ */

static void test_descriptor(void)
{
        const struct brick_module *module = common_brick_module_v1();

        assert(module->magic == BRICK_MAGIC);
        assert(module->struct_size == sizeof *module);
        assert(module->type == BRICK_TYPE_COMMON);
        assert(module->methods == 0x1f);
        assert(module->start && module->create && module->destroy);
        assert(module == common_brick_module_v1());
}

static void test_unary(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host("{ limit: 42 }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        CommonResponse *reply;

        call = fake_call_new(host, BRICK_METHOD_UNARY, common_request("do", "grüße"));
        assert(fake_call_run(call) == 0);
        assert(fake_call_replies(call) == 1 && fake_call_code(call) == 200);
        reply = fake_call_reply(call, 0, common_response);
        assert(strcmp(brick_struct_get_string(reply->data, "said"), "grüße") == 0);
        assert(brick_struct_get(reply->data, "limit")->number_value == 42);
        assert(brick_struct_get(reply->data, "true")->bool_value == 1);
        assert(!brick_struct_get(reply->data, "false"));
        assert(!brick_struct_get_string(reply->data, "limit"));
}

/* An empty Struct is present all the same: 0a 00. */
static void test_unary_empty(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        struct brick_bytes bytes;

        call = fake_call_new(host, BRICK_METHOD_UNARY, NULL);
        assert(fake_call_run(call) == 0);
        bytes = fake_call_reply_bytes(call, 0);
        assert(bytes.len == 2 && memcmp(bytes.ptr, "\x0a", 2) == 0);
}

static void test_failures(void)
{
        static const struct {
                const char *what;
                int code;
                const char *text, *detail;
        } cases[] = {
                { "fail", 404, "no luck", "the detail" },
        };
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                call = fake_call_new(host, BRICK_METHOD_UNARY, common_request("do", cases[i].what));
                assert(fake_call_run(call) == 0);
                assert(fake_call_replies(call) == 0);
                assert(fake_call_status(call) == 0 && fake_call_code(call) == cases[i].code);
                assert(strcmp(fake_call_text(call), cases[i].text) == 0);
                assert(strcmp(fake_call_detail(call), cases[i].detail) == 0);
        }
}

/* A refused call must not be finished: the fake host would abort. */
static void test_refusals(void)
{
        static const char *const cases[] = { "refuse", "unimplemented" };
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                call = fake_call_new(host, BRICK_METHOD_UNARY, common_request("do", cases[i]));
                assert(fake_call_run(call) == 0);
                assert(!fake_call_finished(call) && fake_call_replies(call) == 0);
        }
}

static void test_streams(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host("{ limit: 100 }");
        _cleanup_(fake_call_freep) struct fake_call *output = NULL, *input = NULL, *bidi = NULL;
        CommonResponse *reply;

        output = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, common_request("a", "b"));
        assert(fake_call_run(output) == 0);
        assert(fake_call_replies(output) == 100 && fake_call_code(output) == 200);

        input = fake_call_new(host, BRICK_METHOD_INPUT_STREAMING, NULL);
        for (unsigned i = 0; i < 50; i++)
                fake_call_push(input, common_request("a", "b"));
        fake_call_close(input);
        assert(fake_call_run(input) == 0);
        reply = fake_call_reply(input, 0, common_response);
        assert(brick_struct_get(reply->data, "n")->number_value == 50);

        bidi = fake_call_new(host, BRICK_METHOD_BIDI_STREAMING, NULL);
        assert(fake_call_start(bidi) == 0);
        fake_call_push(bidi, common_request("x", "first"));
        assert(fake_call_wait_replies(bidi, 1) == 1);
        fake_call_push(bidi, common_request("x", "second"));
        assert(fake_call_wait_replies(bidi, 2) == 2);
        fake_call_push(bidi, common_request("stop", ""));
        fake_call_wait(bidi);
        reply = fake_call_reply(bidi, 1, common_response);
        assert(strcmp(brick_struct_get_string(reply->data, "x"), "second") == 0);
        assert(fake_call_replies(bidi) == 2 && fake_call_code(bidi) == 200);
}

/* A handler that waits for its client is woken by the end of the call. */
static void test_cancel(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host("{ limit: 10 }");
        _cleanup_(fake_call_freep) struct fake_call *output = NULL, *input = NULL;

        output = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, common_request("a", "b"));
        fake_call_limit_window(output, 2);
        assert(fake_call_start(output) == 0);
        assert(fake_call_wait_replies(output, 2) == 2);
        fake_call_cancel(output);
        fake_call_wait(output);
        assert(fake_call_replies(output) == 2);

        input = fake_call_new(host, BRICK_METHOD_INPUT_STREAMING, NULL);
        assert(fake_call_start(input) == 0);
        fake_call_push(input, common_request("a", "b"));
        fake_call_cancel(input);
        fake_call_wait(input);
        assert(fake_call_replies(input) == 0);
}

static void test_service_info(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        ServiceInfoResponse *info;

        call = fake_call_new(host, BRICK_METHOD_SERVICE_INFO, NULL);
        assert(fake_call_run(call) == 0);
        info = fake_call_reply(call, 0,
                               &protocols__grpc__common__service_info_response__descriptor);
        assert(strcmp(info->service_name, "common") == 0 && strcmp(info->version, "1.2") == 0);
        assert(info->n_models == 1 && info->models[0]->support_streaming);
        assert(strcmp(info->models[0]->description, "for tests") == 0);
}

/* ---- brick_unpack() --------------------------------------------------------------------- */

static struct brick_call *arena(struct fake_call *call)
{
        return (struct brick_call *)call;
}

static const ProtobufCMessageDescriptor *const llm_request =
        &protocols__grpc__llm__llmrequest__descriptor;

static void test_unpack_utf8(void)
{
        static const struct {
                const char *text;
                bool valid;
        } cases[] = {
                { "plain", true },
                { "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", true },
                { "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", true }, /* around the surrogates */
                { "\xc3", false },                                    /* cut short */
                { "\xc3(", false },
                { "\x80", false },
                { "\xc0\xaf", false }, /* overlong */
                { "\xe0\x80\xaf", false },
                { "\xf0\x80\x80\xaf", false },
                { "\xed\xa0\x80", false },     /* surrogate */
                { "\xf4\x90\x80\x80", false }, /* past the end of Unicode */
                { "\xff", false },
                { "eight, sixteen, and then \xc3\xa9 and more", true },
                { "eight, sixteen, and then \xff and more", false },
        };
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(host, BRICK_METHOD_UNARY,
                                                                          NULL);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
                LLMContext context = PROTOCOLS__GRPC__LLM__CONTEXT__INIT, *contexts = &context;
                struct brick_bytes bytes;
                uint8_t buffer[256];

                request.prompt = (char *)cases[i].text;
                bytes = (struct brick_bytes){ buffer,
                                              protobuf_c_message_pack(&request.base, buffer) };
                assert(!!brick_unpack(arena(call), llm_request, bytes) == cases[i].valid);

                /* deeper down, in a list */
                request.prompt = (char *)"";
                request.n_context = 1;
                request.context = &contexts;
                context.content = (char *)cases[i].text;
                bytes.len = protobuf_c_message_pack(&request.base, buffer);
                assert(!!brick_unpack(arena(call), llm_request, bytes) == cases[i].valid);
        }
}

/* One bad byte anywhere: many bytes are looked at together. */
static void test_unpack_long_utf8(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(host, BRICK_METHOD_UNARY,
                                                                          NULL);
        char text[301];
        uint8_t buffer[400];

        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        for (size_t i = 0; i < sizeof text; i++) {
                LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
                struct brick_bytes bytes = { buffer, 0 };

                request.prompt = text;
                if (text[i])
                        text[i] = '\xff';
                bytes.len = protobuf_c_message_pack(&request.base, buffer);
                assert(!!brick_unpack(arena(call), llm_request, bytes) == !text[i]);
                if (text[i])
                        text[i] = 'x';
        }
}

/* A CommonRequest whose data holds a list in a list in a list ... */
static struct brick_bytes nested(unsigned levels)
{
        size_t capacity = 32 + (size_t)levels * 16, start = capacity;
        uint8_t *buffer = malloc(capacity);
        static const uint8_t tags[] = { 0x0a, 0x0a, 0x12 }; /* data, fields, value */

        assert(buffer);
        for (unsigned i = 0; i < 2 * levels + ELEMENTSOF(tags); i++) {
                uint8_t tag, length[10];
                size_t n = capacity - start, m = 0;

                if (i >= 2 * levels)
                        tag = tags[ELEMENTSOF(tags) - 1 - (i - 2 * levels)];
                else
                        tag = i % 2 == 0 ? 0x0a : 0x32; /* ListValue.values, Value.list_value */
                for (; n >= 0x80; n >>= 7)
                        length[m++] = (uint8_t)(n | 0x80);
                length[m++] = (uint8_t)n;
                start -= m;
                memcpy(buffer + start, length, m);
                buffer[--start] = tag;
        }
        memmove(buffer, buffer + start, capacity - start);
        return (struct brick_bytes){ buffer, capacity - start };
}

static void test_unpack_depth(void)
{
        static const struct {
                unsigned levels;
                bool valid;
        } cases[] = { { 1, true }, { 50, true }, { 5000, false }, { 100000, false } };
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(
                        host, BRICK_METHOD_UNARY, NULL);
                const ProtobufCMessageDescriptor *type =
                        &protocols__grpc__common__common_request__descriptor;
                struct brick_bytes bytes = nested(cases[i].levels);
                void *message;

                assert(!!brick_unpack(arena(call), type, bytes) == cases[i].valid);
                message = brick_unpack_heap(type, bytes);
                assert(!!message == cases[i].valid);
                brick_unpacked_free(message);
                free((void *)bytes.ptr);
        }
}

static void test_unpack_limits(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(host, BRICK_METHOD_UNARY,
                                                                          NULL);
        static uint8_t empties[4 << 20]; /* two bytes each: 0a 00, an empty context */
        void *message;

        assert(!brick_unpack(arena(call), llm_request, (struct brick_bytes){ "\x12\x05x", 3 }));
        assert(brick_unpack(arena(call), llm_request, (struct brick_bytes){ NULL, 0 }));

        for (size_t i = 0; i < sizeof empties; i += 2)
                empties[i] = 0x1a;
        fake_call_limit_memory(call, 1 << 20);
        assert(!brick_unpack(arena(call), llm_request,
                             (struct brick_bytes){ empties, sizeof empties }));
        message = brick_unpack_heap(llm_request, (struct brick_bytes){ empties, sizeof empties });
        assert(!message);
        message = brick_unpack_heap(llm_request, (struct brick_bytes){ empties, 1 << 16 });
        assert(message && ((LLMRequest *)message)->n_context == 1 << 15);
        brick_unpacked_free(message);
}

/* ---- building messages ------------------------------------------------------------------ */

static void test_lists(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = common_host(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(host, BRICK_METHOD_UNARY,
                                                                          NULL);
        RetrievalResponse *response;
        RetrievalDocument **documents;
        RetrievalDocument *document;
        LLMResponse *llm;
        char buffer[4], **tokens;

        response = brick_new(arena(call),
                             &protocols__grpc__retrieval__retrieval_response__descriptor);
        documents = brick_add_n(arena(call), response, documents, 3);
        assert(documents && response->n_documents == 3);
        documents[2]->title = (char *)"third";
        document = brick_add(arena(call), response, documents);
        assert(document && response->n_documents == 4 && response->documents[3] == document);
        assert(strcmp(response->documents[2]->title, "third") == 0);
        assert(document->metadata && document->metadata->n_fields == 0);
        assert(brick_add_n(arena(call), response, documents, 0));
        assert(!brick_add_n(arena(call), response, documents, SIZE_MAX / 4));
        assert(response->n_documents == 4);

        llm = brick_new(arena(call), &protocols__grpc__llm__llmresponse__descriptor);
        tokens = brick_add_n(arena(call), llm, tokens, 2);
        assert(tokens && llm->n_tokens == 2 && strcmp(llm->tokens[1], "") == 0);

        assert(strcmp(brick_printf(arena(call), "%s-%d", "a", 7), "a-7") == 0);
        assert(strcmp(brick_strndup(arena(call), "abcdef", 3), "abc") == 0);
        fake_call_limit_memory(call, 4);
        assert(!brick_printf(arena(call), "%s", "too long"));
        assert(!brick_strndup(arena(call), buffer, sizeof buffer));
        assert(!brick_new(arena(call), llm_request));
        assert(!brick_add(arena(call), response, documents));
        assert(response->n_documents == 4);
}

int main(void)
{
        test_descriptor();
        test_unary();
        test_unary_empty();
        test_failures();
        test_refusals();
        test_streams();
        test_cancel();
        test_service_info();
        test_unpack_utf8();
        test_unpack_long_utf8();
        test_unpack_depth();
        test_unpack_limits();
        test_lists();
        return 0;
}

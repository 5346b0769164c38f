/* SPDX-License-Identifier: MIT */

/* What libbrick has for building replies, and for ending calls. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BRICK_STATIC helpers
#include "fake-host.h"

/* ---- a blocking Common brick that does what its test says --------------------------------- */

static int (*unary)(struct brick_call *call, CommonResponse *response);
static int (*input)(struct brick_call *call, CommonResponse *response);
static char *word;

static int helpers_unary(struct brick_instance *self, struct brick_call *call,
                         const CommonRequest *request, CommonResponse *response)
{
        return unary(call, response);
}

static int helpers_input(struct brick_instance *self, struct brick_call *call,
                         CommonResponse *response)
{
        return input(call, response);
}

static int helpers_create(const struct brick_host *host, struct brick_ctx *ctx,
                          const struct brick_node *config, struct brick_instance **ret)
{
        char *absent;

        assert(brick_option_string(config, "absent", &absent) == 0 && !absent);
        *ret = (struct brick_instance *)ctx;
        return brick_option_string(config, "word", &word);
}

static void helpers_destroy(struct brick_instance *self)
{
        free(word);
        word = NULL;
}

static const struct brick_option helpers_options[] = {
        { .name = "word", .type = BRICK_STRING, .fallback = "hello" },
        { .name = NULL },
};

static const struct brick_common helpers_handlers = {
        .unary = helpers_unary,
        .input_streaming = helpers_input,
};

BRICK_COMMON(helpers_handlers, .name = "helpers", .version = "1.0", .summary = "for tests",
             .flags = BRICK_FLAG_BLOCKING, .options = helpers_options, .create = helpers_create,
             .destroy = helpers_destroy);

static struct fake_host *new_host(void)
{
        struct fake_host *host;

        assert(fake_host_new(&host, helpers_brick_module_v1(), "{ word: grüße }") == 0);
        assert(strcmp(word, "grüße") == 0); /* the configuration is gone */
        return host;
}

/* A call that is there for its memory. */
static struct brick_call *memory(struct fake_call *call)
{
        return (struct brick_call *)call;
}

static struct fake_call *new_call(struct fake_host *host)
{
        return fake_call_new(host, BRICK_METHOD_UNARY, NULL);
}

/* ---- messages ---------------------------------------------------------------------------- */

static void test_new(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        LLMResponse *llm = BRICK_NEW(memory(call), LLMResponse);
        ComposeResponse *compose = BRICK_NEW(memory(call), ComposeResponse);
        RetrievalDocument *document = BRICK_NEW(memory(call), RetrievalDocument);
        ModelInfo *model = BRICK_NEW(memory(call), ModelInfo);

        assert(llm && llm->base.descriptor == &protocols__grpc__llm__llmresponse__descriptor);
        assert(compose && compose->output && document && document->metadata);
        assert(brick_add_string(memory(call), model, supported_languages, "de") == 0);
        assert(brick_add_string(memory(call), model, supported_languages, "zh") == 0);
        assert(model->n_supported_languages == 2);
        assert(strcmp(model->supported_languages[0], "de") == 0);
        assert(strcmp(model->supported_languages[1], "zh") == 0);

        fake_call_limit_memory(call, 4);
        assert(!BRICK_NEW(memory(call), GuardResult));
        assert(brick_add_string(memory(call), model, supported_languages, "en") == -ENOMEM);
        assert(model->n_supported_languages == 2);
}

static void fill(struct brick_call *call, Struct *object)
{
        ListValue *list = brick_struct_add_list(call, object, "list"), *inner;
        Struct *nested = brick_struct_add_struct(call, object, "nested"), *in_list;

        assert(list && nested);
        assert(brick_struct_add_string(call, nested, "key", "value") == 0);
        assert(brick_struct_add_bool(call, object, "truth", 7) == 0);
        assert(brick_struct_add_number(call, object, "number", -0.5) == 0);
        assert(brick_struct_add(call, object, "nothing"));
        assert(brick_list_add_string(call, list, "a") == 0);
        assert(brick_list_add_number(call, list, 1) == 0);
        assert(brick_list_add_bool(call, list, 0) == 0);
        assert(brick_list_add(call, list));
        in_list = brick_list_add_struct(call, list);
        assert(in_list && brick_struct_add_number(call, in_list, "n", 2) == 0);
        inner = brick_list_add_list(call, list);
        assert(inner && brick_list_add_string(call, inner, "deep") == 0);
}

static void check_list(const ListValue *list)
{
        assert(list && list->n_values == 6);
        assert(strcmp(list->values[0]->string_value, "a") == 0);
        assert(list->values[1]->number_value == 1);
        assert(list->values[2]->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);
        assert(list->values[3]->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
        assert(brick_struct_get(list->values[4]->struct_value, "n")->number_value == 2);
        assert(strcmp(list->values[5]->list_value->values[0]->string_value, "deep") == 0);
}

/* Written, packed, unpacked and read again. */
static void test_structs(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        CommonResponse *response = BRICK_NEW(memory(call), CommonResponse);
        struct brick_bytes bytes;
        const Struct *data;
        double number = 0;
        uint8_t packed[512];
        int truth = 0;

        fill(memory(call), response->data);
        bytes = (struct brick_bytes){ packed, protobuf_c_message_pack(&response->base, packed) };
        response = brick_unpack(memory(call), BRICK_DESCRIPTOR(CommonResponse), bytes);
        assert(response);
        data = response->data;

        check_list(brick_struct_get_list(data, "list"));
        assert(strcmp(brick_struct_get_string(brick_struct_get_struct(data, "nested"), "key"),
                      "value") == 0);
        assert(brick_struct_get_number(data, "number", &number) && number == -0.5);
        assert(brick_struct_get_bool(data, "truth", &truth) && truth == 1);
        assert(brick_struct_get(data, "nothing")->kind_case ==
               GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);

        /* of another type, not there, or no Struct at all: as it was */
        assert(!brick_struct_get_number(data, "truth", &number) && number == -0.5);
        assert(!brick_struct_get_bool(data, "number", &truth) && truth == 1);
        assert(!brick_struct_get_struct(data, "list") && !brick_struct_get_list(data, "nested"));
        assert(!brick_struct_get_number(data, "absent", &number));
        assert(!brick_struct_get_struct(NULL, "x") && !brick_struct_get_list(NULL, "x"));
}

/* Long lists at once. */
static void test_values(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        ListValue *list = BRICK_NEW(memory(call), ListValue);
        Value **values = brick_add_n(memory(call), list, values, 10000);

        assert(values && list->n_values == 10000);
        for (size_t i = 0; i < 10000; i++)
                assert(brick_value_set_number(values[i], (double)i) == 0);
        assert(list->values[9999]->number_value == 9999);
        assert(brick_value_set_string(values[0], "x") == 0);
        /* the empty text of another message is a text, too */
        assert(brick_value_set_string(values[0], protobuf_c_empty_string) == 0);
        assert(protobuf_c_message_get_packed_size(&values[0]->base) == 2);
        assert(brick_value_set_bool(values[1], 1) == 0);
        assert(brick_value_set_struct(memory(call), values[2]) == values[2]->struct_value);
        assert(brick_value_set_list(memory(call), values[3]) == values[3]->list_value);
        assert(values[3]->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
        assert(brick_value_set_number(NULL, 1) == -ENOMEM);
        assert(!brick_value_set_struct(memory(call), NULL));
}

static void test_structs_without_memory(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        Struct *object = BRICK_NEW(memory(call), Struct);
        ListValue *list = BRICK_NEW(memory(call), ListValue);

        fake_call_limit_memory(call, 4);
        assert(!brick_struct_add(memory(call), object, "k"));
        assert(!brick_struct_add_struct(memory(call), object, "k"));
        assert(!brick_struct_add_list(memory(call), object, "k"));
        assert(brick_struct_add_string(memory(call), object, "k", "v") == -ENOMEM);
        assert(brick_struct_add_number(memory(call), object, "k", 1) == -ENOMEM);
        assert(brick_list_add_bool(memory(call), list, 1) == -ENOMEM);
        assert(!brick_list_add_struct(memory(call), list));
        assert(object->n_fields == 0 && list->n_values == 0);
}

/* ---- memory ------------------------------------------------------------------------------ */

static void test_text(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        struct brick_text text = BRICK_TEXT(memory(call)), empty = BRICK_TEXT(memory(call));
        struct brick_text lost = BRICK_TEXT(memory(call));
        const char *end;

        assert(strcmp(brick_text_end(&empty), "") == 0);
        for (int i = 0; i < 1000; i++) {
                brick_text_adds(&text, "a");
                brick_text_add(&text, "bcd", 2);
                brick_text_printf(&text, "-%d;", i);
        }
        end = brick_text_end(&text);
        assert(end && strncmp(end, "abc-0;abc-1;abc-2;", 18) == 0);
        assert(strcmp(end + strlen(end) - 8, "abc-999;") == 0 && strlen(end) == text.len);
        brick_text_adds(&text, "more");
        assert(strcmp(brick_text_end(&text) + text.len - 5, ";more") == 0);

        fake_call_limit_memory(call, 100);
        for (int i = 0; i < 100; i++)
                brick_text_adds(&lost, "xxxxxxxx");
        brick_text_printf(&lost, "%s", "");
        assert(!brick_text_end(&lost));
        assert(!brick_printf(memory(call), "%0300d", 1));
}

/* As many messages as one likes, in the memory of one. */
static void test_rewind(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        char *kept = brick_printf(memory(call), "%s", "kept");

        fake_call_limit_memory(call, 8192);
        for (int i = 0; i < 10000; i++) {
                size_t mark = brick_mark(memory(call));
                CommonResponse *response = BRICK_NEW(memory(call), CommonResponse);

                assert(response);
                fill(memory(call), response->data);
                brick_rewind(memory(call), mark);
        }
        assert(strcmp(kept, "kept") == 0);
}

/* ---- how calls end ----------------------------------------------------------------------- */

static int to_return;

static int returns(struct brick_call *call, CommonResponse *response)
{
        return to_return;
}

static int keeps(struct brick_call *call, CommonResponse *response)
{
        brick_end(call, to_return, &response->base);
        return BRICK_TAKEN;
}

static int fails_long(struct brick_call *call, CommonResponse *response)
{
        return brick_failf(call, 2003, "why", "%05000d", 7);
}

static const struct brick_outcome *to_pass;

static int fails_as(struct brick_call *call, CommonResponse *response)
{
        return brick_fail_as(call, to_pass);
}

static int fails_without_texts(struct brick_call *call, CommonResponse *response)
{
        return brick_fail(call, 2003, NULL, NULL);
}

static struct fake_call *run(struct fake_host *host,
                             int (*handler)(struct brick_call *call, CommonResponse *response))
{
        struct fake_call *call = new_call(host);

        unary = handler;
        assert(fake_call_run(call) == 0);
        return call;
}

static void test_ends(void)
{
        static const struct {
                int r, code;
                const char *text;
        } cases[] = {
                { 0, 200, "" },
                { -ENOSYS, 12, "Function not implemented" },
                { -EIO, 13, "Input/output error" },
        };
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                to_return = cases[i].r;
                call = run(host, keeps);
                assert(fake_call_code(call) == cases[i].code);
                assert(strcmp(fake_call_text(call), cases[i].text) == 0);
                assert(fake_call_replies(call) == (cases[i].r == 0));
        }
}

/* A name of 201 bytes, whose 160th is in the middle of a character. */
static int explains(struct brick_call *call, CommonResponse *response)
{
        char name[202] = "x";

        for (size_t i = 0; i < 100; i++)
                memcpy(name + 1 + 2 * i, "é", 3);
        assert(brick_is_explained(call));
        brick_explain(call, &(struct brick_step){ .name = name });
        return 0;
}

static void test_explain(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = new_call(host);
        const char *said;

        unary = explains;
        fake_call_add_metadata(call, "x-brick-explain", "1");
        assert(fake_call_run(call) == 0);
        said = fake_call_trailers(call);
        assert(strncmp(said, "x-brick-step-bin=", 17) == 0 && strstr(said, "step"));
        said = strstr(said, "x\xc3\xa9");
        assert(said && strspn(said, "x\xc3\xa9") == 159 && strncmp(said + 159, "…", 3) == 0);
}

static void test_long_failure(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, fails_long);
        _cleanup_(fake_call_freep) struct fake_call *empty = run(host, fails_without_texts);

        assert(fake_call_code(call) == 2003 && strcmp(fake_call_detail(call), "why") == 0);
        assert(strlen(fake_call_text(call)) == 5000 && fake_call_text(call)[4999] == '7');
        assert(fake_call_code(empty) == 2003 && strcmp(fake_call_text(empty), "") == 0);
}

/* As a child has ended. */
static void test_fail_as(void)
{
        static const struct brick_outcome good = { .struct_size = sizeof good, .code = 200 },
                                          busy = { .struct_size = sizeof busy,
                                                   .status = 8,
                                                   .message = { "busy", 4 } },
                                          wrong = { .struct_size = sizeof wrong,
                                                    .code = 2003,
                                                    .message = { "wrong", 5 },
                                                    .detail = { "why", 3 } };
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *first = NULL, *second = NULL, *third = NULL;

        to_pass = &good;
        first = run(host, fails_as);
        assert(fake_call_code(first) == 200 && fake_call_replies(first) == 1);
        to_pass = &busy;
        second = run(host, fails_as);
        assert(fake_call_status(second) == 8 && strcmp(fake_call_text(second), "busy") == 0);
        to_pass = &wrong;
        third = run(host, fails_as);
        assert(fake_call_code(third) == 2003 && strcmp(fake_call_text(third), "wrong") == 0);
        assert(strcmp(fake_call_detail(third), "why") == 0);
}

/* A host of ABI 1.2: what is new does nothing, or is done without it. */
static void test_old_host(void)
{
        static const struct {
                int r, code;
        } cases[] = { { -EIO, 13 }, { -ENOSYS, 12 }, { 404, 13 } };
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        const struct brick_host *table = brick_host;
        struct brick_host old = *table;

        old.abi_minor = 2;
        old.struct_size = offsetof(struct brick_host, call_mark);
        brick_sdk_init(&old);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_call_freep) struct fake_call *kept = NULL, *returned = NULL;

                to_return = cases[i].r;
                kept = run(host, keeps);
                assert(fake_call_code(kept) == cases[i].code);
                brick_rewind(memory(kept), brick_mark(memory(kept)));
                returned = run(host, returns);
                assert(!fake_call_finished(returned)); /* refused: brickd ends it */
        }
        brick_sdk_init(table);
}

/* ---- brick_read() ------------------------------------------------------------------------ */

static int (*leave_at)(double n);

static int points_into_request(struct brick_call *call, CommonResponse *response)
{
        CommonRequest *request = NULL;
        const char *text = "";
        double n = 0;
        int r;

        while ((r = brick_read(call, &request)) > 0) {
                text = brick_struct_get_string(request->data, "text");
                if (leave_at(++n))
                        break;
        }
        brick_read_end(&request);
        brick_read_end(&request);
        assert(!request);
        return r < 0 ? r : brick_struct_add_string(call, response->data, "text", text);
}

static int after_two(double n)
{
        return n == 2;
}

static int never(double n)
{
        return 0;
}

static const CommonRequest *text_request(struct fake_call *call, const char *text)
{
        CommonRequest *request = BRICK_NEW(memory(call), CommonRequest);

        request->data = BRICK_NEW(memory(call), Struct);
        assert(brick_struct_add_string(memory(call), request->data, "text", text) == 0);
        return request;
}

/* The sanitizer sees what is freed too early. */
static void test_read(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = new_host();
        _cleanup_(fake_call_freep) struct fake_call *source = new_call(host);

        input = points_into_request;
        for (int i = 0; i < 2; i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new(
                        host, BRICK_METHOD_INPUT_STREAMING, NULL);
                CommonResponse *reply;

                leave_at = i == 0 ? never : after_two;
                fake_call_push(call, &text_request(source, "first")->base);
                fake_call_push(call, &text_request(source, "second")->base);
                fake_call_close(call);
                assert(fake_call_run(call) == 0);
                reply = fake_call_reply(call, 0, BRICK_DESCRIPTOR(CommonResponse));
                assert(strcmp(brick_struct_get_string(reply->data, "text"), "second") == 0);
        }
}

int main(void)
{
        test_new();
        test_structs();
        test_values();
        test_structs_without_memory();
        test_text();
        test_rewind();
        test_ends();
        test_explain();
        test_long_failure();
        test_fail_as();
        test_old_host();
        test_read();
        return 0;
}

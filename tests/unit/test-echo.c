/* SPDX-License-Identifier: MIT */

/* The echo brick, through a fake host. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake-host.h"

const struct brick_module *echo_brick_module_v1(void);

static struct fake_host *echo(const char *options)
{
        struct fake_host *host;

        assert(fake_host_new(&host, echo_brick_module_v1(), options) == 0);
        return host;
}

static uint64_t now_ms(void)
{
        struct timespec ts;

        assert(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static const LLMRequest *llm_request(const char *prompt, int max_tokens)
{
        static LLMRequest request;

        protocols__grpc__llm__llmrequest__init(&request);
        request.prompt = (char *)prompt;
        request.max_tokens = max_tokens;
        return &request;
}

static LLMResponse *llm_reply(struct fake_call *call, size_t index)
{
        return fake_call_reply(call, index, &protocols__grpc__llm__llmresponse__descriptor);
}

/* Runs one Unary call and checks that it goes well. */
static struct fake_call *unary(struct fake_host *host, const ProtobufCMessage *request)
{
        struct fake_call *call = fake_call_new(host, BRICK_METHOD_UNARY, request);

        assert(fake_call_run(call) == 0);
        assert(fake_call_status(call) == 0 && fake_call_code(call) == 200);
        assert(fake_call_replies(call) == 1);
        return call;
}

static void test_llm(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{}");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *stream = NULL, *ten = NULL;

        call = unary(host, &llm_request("héllo", 0)->base);
        assert(strcmp(llm_reply(call, 0)->text, "Echo: héllo") == 0);
        assert(llm_reply(call, 0)->is_final);

        stream = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &llm_request("x", 3)->base);
        assert(fake_call_run(stream) == 0);
        assert(fake_call_replies(stream) == 3 && fake_call_code(stream) == 200);
        assert(strcmp(llm_reply(stream, 0)->text, "tok0 ") == 0);
        assert(strcmp(llm_reply(stream, 2)->text, "tok2 ") == 0);
        assert(!llm_reply(stream, 1)->is_final && llm_reply(stream, 2)->is_final);

        ten = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &llm_request("x", 0)->base);
        assert(fake_call_run(ten) == 0);
        assert(fake_call_replies(ten) == 10);
}

static void test_guard(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Guard }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        GuardRequest request = PROTOCOLS__GRPC__GUARD__GUARD_REQUEST__INIT;
        GuardResponse *reply;

        request.text = (char *)"hi";
        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0, &protocols__grpc__guard__guard_response__descriptor);
        assert(reply->n_results == 1 && !reply->results[0]->is_attack);
        assert(reply->results[0]->confidence == 1);
        assert(strcmp(reply->results[0]->detail, "Echo: hi") == 0);
}

static void test_intention(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Intention }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        IntentionRequest request = PROTOCOLS__GRPC__INTENTION__INTENTION_REQUEST__INIT;
        IntentionResponse *reply;

        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0,
                                &protocols__grpc__intention__intention_response__descriptor);
        assert(reply->n_results == 1);
        assert(strcmp(reply->results[0]->intent_category, "echo") == 0);
}

static void test_rectify(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Rectify }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;
        RectifyRequest request = PROTOCOLS__GRPC__RECTIFY__RECTIFY_REQUEST__INIT;
        RectifyResponse *reply;

        request.text = (char *)"txet";
        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0, &protocols__grpc__rectify__rectify_response__descriptor);
        assert(strcmp(reply->corrected_text, "txet") == 0);
}

static void test_retrieval(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Retrieval }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *many = NULL;
        RetrievalRequest request = PROTOCOLS__GRPC__RETRIEVAL__RETRIEVAL_REQUEST__INIT;
        const ProtobufCMessageDescriptor *type =
                &protocols__grpc__retrieval__retrieval_response__descriptor;
        RetrievalResponse *reply;

        request.query = (char *)"what";
        request.max_results = 5;
        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0, type);
        assert(reply->n_documents == 5);
        assert(strcmp(reply->documents[1]->doc_id, "echo-2") == 0);
        assert(strcmp(reply->documents[1]->snippet, "Echo: what") == 0);
        assert(reply->documents[1]->score == 0.5f);
        assert(reply->documents[1]->metadata);

        request.max_results = INT32_MAX;
        many = unary(host, &request.base);
        reply = fake_call_reply(many, 0, type);
        assert(reply->n_documents == 100);
}

static void test_translate(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Translate, tokens: 2 }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *stream = NULL;
        TranslateRequest request = PROTOCOLS__GRPC__TRANSLATE__TRANSLATE_REQUEST__INIT;
        const ProtobufCMessageDescriptor *type =
                &protocols__grpc__translate__translate_response__descriptor;
        TranslateResponse *reply;

        request.text = (char *)"hi";
        request.target_language = (char *)"zh";
        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0, type);
        assert(strcmp(reply->text, "[zh] hi") == 0 && reply->is_final);
        assert(strcmp(reply->language_code, "zh") == 0);

        stream = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &request.base);
        assert(fake_call_run(stream) == 0);
        assert(fake_call_replies(stream) == 2);
        reply = fake_call_reply(stream, 1, type);
        assert(strcmp(reply->text, "tok1 ") == 0 && reply->is_final);
        assert(strcmp(reply->language_code, "zh") == 0);
}

static void test_compose(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Compose }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *stream = NULL, *none = NULL;
        ComposeRequest request = PROTOCOLS__GRPC__COMPOSE__COMPOSE_REQUEST__INIT;
        ComposeDocument a = PROTOCOLS__GRPC__COMPOSE__DOCUMENT__INIT, b = a;
        ComposeDocument *documents[] = { &a, &b };
        const ProtobufCMessageDescriptor *type =
                &protocols__grpc__compose__compose_response__descriptor;
        ComposeResponse *reply;
        const Value *list;

        a.doc_id = (char *)"a";
        b.doc_id = (char *)"b";
        request.input_documents = documents;
        request.n_input_documents = 2;
        request.target_format = (char *)"text";
        call = unary(host, &request.base);
        reply = fake_call_reply(call, 0, type);
        assert(strcmp(brick_struct_get_string(reply->output, "format"), "text") == 0);
        list = brick_struct_get(reply->output, "documents");
        assert(list->list_value->n_values == 2);
        assert(strcmp(list->list_value->values[1]->string_value, "b") == 0);

        stream = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &request.base);
        assert(fake_call_run(stream) == 0);
        assert(fake_call_replies(stream) == 2);
        reply = fake_call_reply(stream, 1, type);
        assert(strcmp(brick_struct_get_string(reply->output, "document"), "b") == 0);

        request.n_input_documents = 0;
        none = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &request.base);
        assert(fake_call_run(none) == 0);
        assert(fake_call_replies(none) == 0 && fake_call_code(none) == 200);
}

static const ProtobufCMessage *common_request(const char *text)
{
        static Google__Protobuf__Struct__FieldsEntry entry, *entries[] = { &entry };
        static CommonRequest request;
        static Struct data;
        static Value value;

        google__protobuf__value__init(&value);
        value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value.string_value = (char *)text;
        google__protobuf__struct__fields_entry__init(&entry);
        entry.key = (char *)"text";
        entry.value = &value;
        google__protobuf__struct__init(&data);
        data.n_fields = 1;
        data.fields = entries;
        protocols__grpc__common__common_request__init(&request);
        request.data = &data;
        return &request.base;
}

static CommonResponse *common_reply(struct fake_call *call, size_t index)
{
        return fake_call_reply(call, index, &protocols__grpc__common__common_response__descriptor);
}

static void test_common(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Common, tokens: 3 }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *empty = NULL, *output = NULL;
        _cleanup_(fake_call_freep) struct fake_call *input = NULL, *nothing = NULL;
        const Value *last;

        call = unary(host, common_request("hi"));
        assert(strcmp(brick_struct_get_string(common_reply(call, 0)->data, "text"), "hi") == 0);
        empty = unary(host, NULL);
        assert(common_reply(empty, 0)->data && common_reply(empty, 0)->data->n_fields == 0);

        output = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, common_request("hi"));
        assert(fake_call_run(output) == 0 && fake_call_replies(output) == 3);

        input = fake_call_new(host, BRICK_METHOD_INPUT_STREAMING, NULL);
        assert(fake_call_start(input) == 0);
        for (unsigned i = 0; i < 1000; i++)
                fake_call_push(input, common_request(i < 999 ? "hi" : "bye"));
        fake_call_close(input);
        fake_call_wait(input);
        assert(brick_struct_get(common_reply(input, 0)->data, "count")->number_value == 1000);
        last = brick_struct_get(common_reply(input, 0)->data, "last");
        assert(strcmp(brick_struct_get_string(last->struct_value, "text"), "bye") == 0);

        nothing = fake_call_new(host, BRICK_METHOD_INPUT_STREAMING, NULL);
        fake_call_close(nothing);
        assert(fake_call_run(nothing) == 0);
        assert(brick_struct_get(common_reply(nothing, 0)->data, "count")->number_value == 0);
        assert(!brick_struct_get(common_reply(nothing, 0)->data, "last"));
}

static void test_bidi(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ type: Common }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *full = NULL, *cancelled = NULL;

        call = fake_call_new(host, BRICK_METHOD_BIDI_STREAMING, NULL);
        assert(fake_call_start(call) == 0);
        for (size_t i = 1; i <= 3; i++) {
                fake_call_push(call, common_request("hi"));
                assert(fake_call_wait_replies(call, i) == i);
        }
        fake_call_close(call);
        fake_call_wait(call);
        assert(fake_call_replies(call) == 3 && fake_call_code(call) == 200);

        /* A client that sends and does not read: its messages wait where they are. */
        full = fake_call_new(host, BRICK_METHOD_BIDI_STREAMING, NULL);
        fake_call_limit_window(full, 2);
        assert(fake_call_start(full) == 0);
        for (size_t i = 0; i < 7; i++)
                fake_call_push(full, common_request("hi"));
        fake_call_close(full);
        for (size_t i = 2; i <= 6; i += 2) {
                assert(fake_call_wait_replies(full, i) == i);
                fake_call_take(full);
        }
        fake_call_wait(full);
        assert(fake_call_replies(full) == 7 && fake_call_code(full) == 200);

        cancelled = fake_call_new(host, BRICK_METHOD_BIDI_STREAMING, NULL);
        assert(fake_call_start(cancelled) == 0);
        fake_call_cancel(cancelled);
        assert(fake_call_finished(cancelled) && fake_call_status(cancelled) == 1);
}

static void test_window(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{}");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *cancelled = NULL;

        call = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &llm_request("x", 100)->base);
        fake_call_limit_window(call, 8);
        assert(fake_call_start(call) == 0);
        for (size_t n = 8; n < 100; n += 8) {
                assert(fake_call_wait_replies(call, n) == n);
                fake_call_take(call);
        }
        fake_call_wait(call);
        assert(fake_call_replies(call) == 100);
        assert(strcmp(llm_reply(call, 99)->text, "tok99 ") == 0);

        cancelled = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING,
                                  &llm_request("x", 100)->base);
        fake_call_limit_window(cancelled, 8);
        assert(fake_call_start(cancelled) == 0);
        assert(!fake_call_finished(cancelled));
        fake_call_cancel(cancelled);
        assert(fake_call_finished(cancelled) && fake_call_status(cancelled) == 1);
}

static void test_size(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ size: 1KiB }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *stream = NULL;

        call = unary(host, &llm_request("hi", 0)->base);
        assert(strlen(llm_reply(call, 0)->text) == 1024);
        assert(strncmp(llm_reply(call, 0)->text, "Echo: hi...", 11) == 0);

        stream = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &llm_request("x", 12)->base);
        assert(fake_call_run(stream) == 0);
        assert(strlen(llm_reply(stream, 0)->text) == 1024);
        assert(strncmp(llm_reply(stream, 11)->text, "tok11 ...", 9) == 0);
        assert(strlen(llm_reply(stream, 11)->text) == 1024);
}

static void test_errors(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo(
                "{ error_code: 429, error_message: \"slow down\", error_every: 3 }");
        unsigned failed = 0;

        for (unsigned i = 1; i <= 9; i++) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                call = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING,
                                     &llm_request("x", 4)->base);
                assert(fake_call_run(call) == 0);
                assert((fake_call_code(call) == 429) == (i % 3 == 0));
                if (fake_call_code(call) != 429)
                        continue;
                assert(strcmp(fake_call_text(call), "slow down") == 0);
                assert(fake_call_replies(call) == 3); /* the error stands for the last */
                failed++;
        }
        assert(failed == 3);
}

static void test_delay(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ delay: 20ms }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL, *stream = NULL;
        uint64_t start = now_ms();

        call = unary(host, &llm_request("late", 0)->base);
        assert(now_ms() - start >= 20);
        assert(strcmp(llm_reply(call, 0)->text, "Echo: late") == 0);

        start = now_ms();
        stream = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING, &llm_request("x", 5)->base);
        fake_call_limit_window(stream, 2);
        assert(fake_call_start(stream) == 0);
        for (size_t n = 2; n < 5; n += 2) {
                assert(fake_call_wait_replies(stream, n) == n);
                fake_call_take(stream);
        }
        fake_call_wait(stream);
        assert(now_ms() - start >= 80);
        assert(fake_call_replies(stream) == 5);
}

/* Thousands of delayed streams on one thread; half of them are cancelled on the way. */
static void test_delayed_cancel(void)
{
        enum { STREAMS = 2000 };
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ delay: 1ms }");
        static struct fake_call *calls[STREAMS];

        for (unsigned i = 0; i < STREAMS; i++) {
                calls[i] = fake_call_new(host, BRICK_METHOD_OUTPUT_STREAMING,
                                         &llm_request("x", 5)->base);
                assert(fake_call_start(calls[i]) == 0);
        }
        for (unsigned i = 0; i < STREAMS; i += 2)
                fake_call_cancel(calls[i]);
        for (unsigned i = 0; i < STREAMS; i++) {
                fake_call_wait(calls[i]);
                if (i % 2)
                        assert(fake_call_code(calls[i]) == 200 && fake_call_replies(calls[i]) == 5);
                fake_call_free(calls[i]);
        }
}

/* A delay that nobody waits for is cut short at once. */
static void test_cancel_is_prompt(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ delay: 1h }");
        _cleanup_(fake_call_freep) struct fake_call *call = NULL;

        call = fake_call_new(host, BRICK_METHOD_UNARY, &llm_request("x", 0)->base);
        assert(fake_call_start(call) == 0);
        fake_call_cancel(call);
        assert(fake_call_finished(call) && fake_call_status(call) == 1);
}

static void test_service_info(void)
{
        static const struct {
                const char *options;
                bool streams;
        } cases[] = { { "{ type: LLM }", true }, { "{ type: Guard }", false } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fake_host_freep) struct fake_host *host = echo(cases[i].options);
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;
                ServiceInfoResponse *info;

                call = fake_call_new(host, BRICK_METHOD_SERVICE_INFO, NULL);
                assert(fake_call_run(call) == 0);
                info = fake_call_reply(call, 0,
                                       &protocols__grpc__common__service_info_response__descriptor);
                assert(strcmp(info->service_name, "echo") == 0);
                assert(info->n_models == 1);
                assert(info->models[0]->support_streaming == cases[i].streams);
                fake_call_cancel(call); /* too late: it is finished */
        }
}

static void test_no_memory(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = echo("{ size: 4KiB }");

        for (size_t limit = 0; limit < 4096; limit += 64) {
                _cleanup_(fake_call_freep) struct fake_call *call = NULL;

                call = fake_call_new(host, BRICK_METHOD_UNARY, &llm_request("hello", 0)->base);
                fake_call_limit_memory(call, limit);
                assert(fake_call_run(call) == -ENOMEM);
        }
}

int main(void)
{
        test_llm();
        test_guard();
        test_intention();
        test_rectify();
        test_retrieval();
        test_translate();
        test_compose();
        test_common();
        test_bidi();
        test_window();
        test_size();
        test_errors();
        test_delay();
        test_delayed_cancel();
        test_cancel_is_prompt();
        test_service_info();
        test_no_memory();
        return 0;
}

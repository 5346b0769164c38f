/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common.pb-c.h"
#include "llm.pb-c.h"
#include "struct.pb-c.h"

#include "fake-exchange.h"
#include "http/route.h"

/* Any brick as JSON. */

#define INFO (1u << BRICK_METHOD_SERVICE_INFO)
#define UNARY (1u << BRICK_METHOD_UNARY)
#define OUTPUT (1u << BRICK_METHOD_OUTPUT_STREAMING)
#define INPUT (1u << BRICK_METHOD_INPUT_STREAMING)
#define BIDI (1u << BRICK_METHOD_BIDI_STREAMING)

static struct exchange x;

static void begin(const char *body)
{
        fake_reset(&x);
        fake_add(&x, "chat", BRICK_TYPE_LLM, INFO | UNARY | OUTPUT);
        fake_add(&x, "any", BRICK_TYPE_COMMON, UNARY | INPUT | BIDI);
        x.body = body;
}

static void call(const char *name, const char *method)
{
        const char *parameters[] = { name, method };

        brick_call_serve(&x, parameters);
}

static void reply_text(const char *text)
{
        Protocols__Grpc__Llm__LLMResponse reply = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;

        reply.text = (char *)text;
        fake_reply(&x, &reply.base);
}

static void test_list(void)
{
        static const char *models[] = { "gpt-4o" };

        begin(NULL);
        x.bricks[0].conf.match_model = models;
        x.bricks[0].conf.n_match_model = 1;
        (void)health_set(&x.bricks[1].instance.health, false, brick_str("the disk is \"full\""));
        bricks_serve(&x, NULL);
        fake_expect(&x, 200,
                    "{\"object\":\"list\",\"data\":[{\"object\":\"brick\",\"name\":\"chat\","
                    "\"type\":\"LLM\",\"methods\":[\"GetServiceInfo\",\"Unary\","
                    "\"OutputStreaming\"],\"healthy\":true,\"reason\":null,\"models\":[\"gpt-4o\"],"
                    "\"example\":{\"prompt\":\"Say hello.\"}},{\"object\":\"brick\",\"name\":"
                    "\"any\",\"type\":\"Common\",\"methods\":[\"Unary\",\"InputStreaming\","
                    "\"BidiStreaming\"],\"healthy\":false,\"reason\":\"the disk is \\\"full\\\"\","
                    "\"models\":[],\"example\":{\"data\":{\"text\":\"hello\"}}}]}");

        begin(NULL);
        x.bricks[0].forbidden = x.bricks[1].forbidden = true;
        bricks_serve(&x, NULL);
        fake_expect(&x, 200, "{\"object\":\"list\",\"data\":[]}");
}

static void test_one(void)
{
        Protocols__Grpc__Common__ServiceInfoResponse info =
                PROTOCOLS__GRPC__COMMON__SERVICE_INFO_RESPONSE__INIT;
        Protocols__Grpc__Common__ModelInfo model = PROTOCOLS__GRPC__COMMON__MODEL_INFO__INIT;
        Protocols__Grpc__Common__ModelInfo *models[] = { &model, &model };
        const char *chat = "chat", *any = "any", *none = "none";

        model.model_id = (char *)"large";
        info.models = models;
        info.n_models = 2;
        begin(NULL);
        brick_serve(&x, &chat);
        assert(x.running && x.call.method == BRICK_METHOD_SERVICE_INFO);
        fake_reply(&x, &info.base);
        fake_success(&x);
        assert(x.status == 200 && strstr(x.answer, "\"models\":[\"large\",\"large\"]"));

        begin(NULL);
        brick_serve(&x, &chat);
        fake_failure(&x, 503, "away");
        assert(x.status == 200 && strstr(x.answer, "\"models\":[]"));

        begin(NULL);
        brick_serve(&x, &any);
        assert(x.status == 200 && x.calls == 0 && strstr(x.answer, "\"name\":\"any\""));

        begin(NULL);
        brick_serve(&x, &none);
        fake_expect_error(&x, 404, "brick_not_found", NULL);
        assert(strstr(x.message, "there is: chat, any."));

        begin(NULL);
        x.bricks[1].forbidden = true;
        brick_serve(&x, &any);
        fake_expect_error(&x, 403, "permission_denied", NULL);
}

static void test_unary(void)
{
        const Protocols__Grpc__Llm__LLMRequest *request;

        begin("{\"prompt\":\"hi\",\"max_tokens\":3}");
        call("chat", "Unary");
        assert(x.running && x.call.method == BRICK_METHOD_UNARY && x.call.brick == x.instances[0]);
        request = fake_request(&x, 0, &protocols__grpc__llm__llmrequest__descriptor);
        assert(strcmp(request->prompt, "hi") == 0 && request->max_tokens == 3);
        reply_text("Hello");
        fake_success(&x);
        fake_expect(&x, 200, "{\"text\":\"Hello\",\"tokens\":[],\"is_final\":false}");
        assert(strcmp(x.type, "application/json") == 0);

        begin(NULL); /* an empty body is an empty message */
        call("chat", "Unary");
        fake_failure(&x, 502, "the brick fails");
        fake_expect_error(&x, 502, "failed", NULL);
}

static void test_lines(void)
{
        begin("{\"prompt\":\"hi\"}");
        call("chat", "OutputStreaming");
        assert(!x.status);
        reply_text("a");
        assert(strcmp(x.type, "application/x-ndjson") == 0);
        fake_silence(&x);
        reply_text("b");
        fake_success(&x);
        fake_expect(&x, 200,
                    "{\"text\":\"a\",\"tokens\":[],\"is_final\":false}\n"
                    "\n"
                    "{\"text\":\"b\",\"tokens\":[],\"is_final\":false}\n");

        begin("{}"); /* no reply at all */
        call("chat", "OutputStreaming");
        fake_success(&x);
        fake_expect(&x, 200, "");

        begin("{}"); /* before the first reply, an error has a status */
        call("chat", "OutputStreaming");
        fake_failure(&x, 504, "too late");
        fake_expect_error(&x, 504, "failed", NULL);

        begin("{}");
        call("chat", "OutputStreaming");
        fake_silence(&x);
        fake_failure(&x, 504, "too late");
        fake_expect(&x, 200, "\n{\"error\":{\"message\":\"too late\"}}\n");
}

static void test_events(void)
{
        begin("{}");
        fake_field(&x, "accept", "text/html, text/event-stream;q=0.9");
        call("chat", "OutputStreaming");
        fake_silence(&x);
        assert(strcmp(x.type, "text/event-stream; charset=utf-8") == 0);
        assert(strstr(x.fields, "X-Accel-Buffering: no\n"));
        reply_text("a");
        fake_success(&x);
        fake_expect(&x, 200,
                    ": keep-alive\n"
                    "data: {\"text\":\"a\",\"tokens\":[],\"is_final\":false}\n\n"
                    "data: [DONE]\n\n");
}

static void test_input(void)
{
        Protocols__Grpc__Common__CommonResponse reply =
                PROTOCOLS__GRPC__COMMON__COMMON_RESPONSE__INIT;
        const Protocols__Grpc__Common__CommonRequest *request;

        begin("{\"data\":{\"a\":1}}\r\n\n  \n{}");
        call("any", "InputStreaming");
        assert(x.running && x.call.n_requests == 2);
        request = fake_request(&x, 0, &protocols__grpc__common__common_request__descriptor);
        assert(strcmp(request->data->fields[0]->key, "a") == 0);
        request = fake_request(&x, 1, &protocols__grpc__common__common_request__descriptor);
        assert(!request->data);
        fake_reply(&x, &reply.base);
        fake_success(&x);
        fake_expect(&x, 200, "{}");

        begin(NULL); /* a stream without a message */
        call("any", "InputStreaming");
        assert(x.running && x.call.n_requests == 0);
        fake_success(&x);

        begin("{}\n\n{\"dat\":1}");
        call("any", "InputStreaming");
        fake_expect_error(&x, 400, "invalid_message", "dat");
        assert(strcmp(x.message, "line 3: dat: no such field; did you mean 'data'?") == 0);

        begin("{}\n{\"data\":\n");
        call("any", "InputStreaming");
        fake_expect_error(&x, 400, "invalid_json", NULL);
        assert(strstr(x.message, "at line 2, column 9"));
}

static const struct {
        const char *body;
        const char *brick;
        const char *method;
        unsigned status;
        const char *code;
        const char *param;
} refusals[] = {
        { "{}", "none", "Unary", 404, "brick_not_found", NULL },
        { "{}", "chat", "unary", 404, "method_not_found", NULL },
        { "{}", "chat", "InputStreaming", 501, "unsupported_method", NULL },
        { "{}", "any", "BidiStreaming", 501, "unsupported_method", NULL },
        { "{}", "any", "OutputStreaming", 501, "unsupported_method", NULL },
        { "{", "chat", "Unary", 400, "invalid_json", NULL },
        { "[]", "chat", "Unary", 400, "invalid_message", NULL },
        { "{\"context\":[{\"rol\":\"x\"}]}", "chat", "Unary", 400, "invalid_message",
          "context[0].rol" },
};

static void test_refusals(void)
{
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                begin(refusals[i].body);
                call(refusals[i].brick, refusals[i].method);
                fake_expect_error(&x, refusals[i].status, refusals[i].code, refusals[i].param);
        }
}

int main(void)
{
        test_list();
        test_one();
        test_unary();
        test_lines();
        test_events();
        test_input();
        test_refusals();
        fake_done(&x);
        return 0;
}

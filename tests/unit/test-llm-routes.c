/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "llm.pb-c.h"

#include "fake-exchange.h"
#include "http/route.h"
#include "util/cleanup.h"

/* Completions and responses: what the brick is asked, and the form of the answer. */

#define METHODS (1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_OUTPUT_STREAMING)

typedef Protocols__Grpc__Llm__LLMRequest LLMRequest;

static struct exchange x;

static void begin(const char *body)
{
        static const char *models[] = { "gpt-4o" };

        fake_reset(&x);
        fake_add(&x, "shield", BRICK_TYPE_GUARD, 1u << BRICK_METHOD_UNARY);
        fake_add(&x, "chat", BRICK_TYPE_LLM, METHODS);
        x.bricks[1].conf.match_model = models;
        x.bricks[1].conf.n_match_model = 1;
        x.body = body;
}

static const LLMRequest *complete(const char *body)
{
        begin(body);
        completion_serve(&x, NULL);
        return x.running ? fake_request(&x, 0, &protocols__grpc__llm__llmrequest__descriptor)
                         : NULL;
}

static const LLMRequest *respond(const char *body)
{
        begin(body);
        responses_serve(&x, NULL);
        return x.running ? fake_request(&x, 0, &protocols__grpc__llm__llmrequest__descriptor)
                         : NULL;
}

static void reply(const char *text)
{
        Protocols__Grpc__Llm__LLMResponse message = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;

        message.text = (char *)text;
        fake_reply(&x, &message.base);
}

/* The answer, in which "*" stands for the characters up to the next '"', ',' or '}'. */
static void expect(const char *want)
{
        const char *got = x.answer;

        for (const char *w = want; *w; w++)
                if (*w == '*') {
                        got += strcspn(got, "\",}");
                } else if (*got++ != *w) {
                        fprintf(stderr, "got  %s\nwant %s\n", x.answer, want);
                        fprintf(stderr, "from %.60s\n", w);
                        assert(false);
                }
        assert(!*got && x.status == 200 && x.ended && !x.aborted);
}

static void set_usage(void)
{
        static struct brick_pair trailers[3];

        trailers[0] = (struct brick_pair){ brick_str("x-usage-prompt-tokens"), brick_str("3") };
        trailers[1] = (struct brick_pair){ brick_str("x-usage-completion-tokens"), brick_str("4") };
        trailers[2] = (struct brick_pair){ brick_str("x-finish-reason"), brick_str("length") };
        x.trailers = trailers;
        x.n_trailers = 3;
}

/* --- models -------------------------------------------------------------------------------------
 */

#define MODEL(ID) "{\"id\":\"" ID "\",\"object\":\"model\",\"created\":*,\"owned_by\":\"brickd\"}"

/* Each model once, at the brick that calls for it reach. */
static void test_models(void)
{
        static const char *const own[] = { "gpt-4o", "large", "chat", "second", NULL };
        static const char *const others[] = { "large", "small", NULL };
        const LLMRequest *r;
        struct fake_brick *second;

        begin("{\"model\":\"small\",\"prompt\":\"Say\"}");
        x.bricks[1].models = own;
        second = fake_add(&x, "second", BRICK_TYPE_LLM, METHODS);
        second->models = others;
        models_serve(&x, NULL);
        expect("{\"object\":\"list\",\"data\":[" MODEL("chat") "," MODEL("gpt-4o") "," MODEL(
                "large") "," MODEL("second") "," MODEL("small") "]}");
        assert(x.asked_models);

        begin("{\"model\":\"small\",\"prompt\":\"Say\"}");
        second = fake_add(&x, "second", BRICK_TYPE_LLM, METHODS);
        second->models = others;
        completion_serve(&x, NULL);
        assert(x.running && x.call.brick == &second->instance && !x.asked_models);
        r = fake_request(&x, 0, &protocols__grpc__llm__llmrequest__descriptor);
        assert(strcmp(r->model_id, "small") == 0);

        begin("{\"model\":\"none\",\"prompt\":\"Say\"}");
        completion_serve(&x, NULL);
        fake_expect_error(&x, 404, "model_not_found", "model");
        assert(x.asked_models);
}

/* --- completions --------------------------------------------------------------------------------
 */

static void test_completion(void)
{
        const LLMRequest *r = complete("{\"model\":\"gpt-4o\",\"prompt\":[\"Say\"],"
                                       "\"max_tokens\":5,\"temperature\":0,\"user\":\"u\","
                                       "\"echo\":false,\"suffix\":null,\"best_of\":1,\"seed\":1}");

        assert(r && x.call.method == BRICK_METHOD_UNARY && x.call.brick == x.instances[1]);
        assert(strcmp(r->prompt, "Say") == 0 && r->max_tokens == 5 && r->n_context == 0);
        assert(strcmp(r->model_id, "gpt-4o") == 0 && strcmp(r->client_id, "u") == 0);
        assert(x.call.n_metadata == 1 && x.call.metadata);
        assert(strcmp(x.fields, "X-Brickd-Ignored: seed\n") == 0);
        reply("Hello");
        set_usage();
        fake_success(&x);
        expect("{\"id\":\"cmpl-*\",\"object\":\"text_completion\",\"created\":*,\"model\":"
               "\"gpt-4o\",\"choices\":[{\"text\":\"Hello\",\"index\":0,\"logprobs\":null,"
               "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,"
               "\"completion_tokens\":4,\"total_tokens\":7}}");
}

static void test_completion_stream(void)
{
        const LLMRequest *r = complete("{\"model\":\"chat\",\"prompt\":\"Say\",\"stream\":true,"
                                       "\"stop\":\"END\"}");

        assert(r && x.call.method == BRICK_METHOD_OUTPUT_STREAMING && !r->model_id[0]);
        reply("a");
        reply("E");
        reply("NDb");
        assert(x.cancelled);
        fake_success(&x);
        expect("data: {\"id\":\"cmpl-*\",\"object\":\"text_completion\",\"created\":*,\"model\":"
               "\"chat\",\"choices\":[{\"text\":\"a\",\"index\":0,\"logprobs\":null,"
               "\"finish_reason\":null}]}\n\n"
               "data: {\"id\":\"cmpl-*\",\"object\":\"text_completion\",\"created\":*,\"model\":"
               "\"chat\",\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,"
               "\"finish_reason\":\"stop\"}]}\n\n"
               "data: [DONE]\n\n");
}

/* --- responses ----------------------------------------------------------------------------------
 */

#define RESPONSE(STATUS, INCOMPLETE, OUTPUT, USAGE)                                                \
        "{\"id\":\"resp_*\",\"object\":\"response\",\"created_at\":*,\"status\":\"" STATUS         \
        "\",\"background\":false,\"error\":null,\"incomplete_details\":" INCOMPLETE                \
        ",\"instructions\":null,\"max_output_tokens\":*,\"model\":\"chat\","                       \
        "\"parallel_tool_calls\":false,\"previous_response_id\":null,\"reasoning\":{\"effort\":"   \
        "null,\"summary\":null},\"store\":false,\"temperature\":*,\"text\":{\"format\":{\"type\":" \
        "\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"truncation\":"          \
        "\"disabled\",\"metadata\":{},\"output\":[" OUTPUT "],\"usage\":" USAGE "}"
#define PART(TEXT) \
        "{\"type\":\"output_text\",\"text\":\"" TEXT "\",\"annotations\":[],\"logprobs\":[]}"
#define ITEM(STATUS, PARTS)                                           \
        "{\"id\":\"msg_*\",\"type\":\"message\",\"status\":\"" STATUS \
        "\",\"role\":\"assistant\",\"content\":[" PARTS "]}"
#define DATA(TYPE, NUMBER, MORE) "{\"type\":\"" TYPE "\",\"sequence_number\":" NUMBER "," MORE "}"
#define EVENT(TYPE, NUMBER, MORE) "event: " TYPE "\ndata: " DATA(TYPE, NUMBER, MORE) "\n\n"
#define PLACE "\"item_id\":\"msg_*\",\"output_index\":0,\"content_index\":0,"

static void test_response(void)
{
        const LLMRequest *r = respond("{\"model\":\"chat\",\"input\":\"hi\",\"instructions\":\"Be "
                                      "brief\",\"max_output_tokens\":5,\"temperature\":0.5,"
                                      "\"text\":{\"format\":{\"type\":\"text\"}},\"store\":true}");

        assert(r && strcmp(r->prompt, "hi") == 0 && r->max_tokens == 5 && r->n_context == 1);
        assert(strcmp(r->context[0]->role, "system") == 0 &&
               strcmp(r->context[0]->content, "Be brief") == 0);
        assert(strcmp(x.fields, "X-Brickd-Ignored: store\n") == 0);
        reply("Hello");
        set_usage();
        fake_success(&x);
        expect(RESPONSE("incomplete", "{\"reason\":\"max_output_tokens\"}",
                        ITEM("incomplete", PART("Hello")),
                        "{\"input_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":0},"
                        "\"output_tokens\":4,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                        "\"total_tokens\":7}"));
}

static void test_response_input(void)
{
        const LLMRequest *r = respond(
                "{\"model\":\"chat\",\"instructions\":\"I\",\"input\":[{\"role\":\"developer\","
                "\"content\":\"d\"},{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
                "\"input_text\",\"text\":\"q\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":"
                "\"output_text\",\"text\":\"a\"}]},{\"role\":\"user\",\"content\":\"last\"}]}");

        assert(r && strcmp(r->prompt, "last") == 0 && r->n_context == 4);
        assert(strcmp(r->context[0]->content, "I") == 0);
        assert(strcmp(r->context[1]->role, "system") == 0);
        assert(strcmp(r->context[2]->content, "q") == 0);
        assert(strcmp(r->context[3]->role, "assistant") == 0);
}

static const char *const events[] = {
        EVENT("response.created", "0", "\"response\":" RESPONSE("in_progress", "null", "", "null")),
        EVENT("response.in_progress", "1",
              "\"response\":" RESPONSE("in_progress", "null", "", "null")),
        EVENT("response.output_item.added", "2",
              "\"output_index\":0,\"item\":" ITEM("in_progress", "")),
        EVENT("response.content_part.added", "3", PLACE "\"part\":" PART("")),
        EVENT("response.output_text.delta", "4", PLACE "\"delta\":\"Hel\",\"logprobs\":[]"),
        EVENT("response.output_text.delta", "5", PLACE "\"delta\":\"lo\",\"logprobs\":[]"),
        EVENT("response.output_text.done", "6", PLACE "\"text\":\"Hello\",\"logprobs\":[]"),
        EVENT("response.content_part.done", "7", PLACE "\"part\":" PART("Hello")),
        EVENT("response.output_item.done", "8",
              "\"output_index\":0,\"item\":" ITEM("completed", PART("Hello"))),
        EVENT("response.completed", "9",
              "\"response\":" RESPONSE("completed", "null", ITEM("completed", PART("Hello")),
                                       "null")),
};

static void test_response_stream(void)
{
        char all[8192] = "";

        assert(respond("{\"model\":\"chat\",\"input\":\"hi\",\"stream\":true}"));
        reply("Hel");
        reply("lo");
        fake_success(&x);
        for (size_t i = 0; i < ELEMENTSOF(events); i++)
                strcat(all, events[i]);
        expect(all);
}

static void test_response_failure(void)
{
        assert(respond("{\"model\":\"chat\",\"input\":\"hi\",\"stream\":true}"));
        fake_failure(&x, 503, "away");
        fake_expect_error(&x, 503, "failed", NULL);

        assert(respond("{\"model\":\"chat\",\"input\":\"hi\",\"stream\":true}"));
        reply("Hel");
        fake_failure(&x, 503, "away");
        assert(strstr(x.answer, EVENT("error", "5",
                                      "\"code\":\"failed\",\"message\":\"away\",\"param\":null,"
                                      "\"error\":{\"message\":\"away\"}")));
        assert(x.ended && !strstr(x.answer, "response.completed"));
}

/* --- refusals -----------------------------------------------------------------------------------
 */

static const struct {
        const char *body;
        const char *code;
        const char *param;
        unsigned status; /* 0: 400 */
} completions[] = {
        { "{", "invalid_json", NULL },
        { "[]", "invalid_type", NULL },
        { "{\"prompt\":\"a\"}", "missing_required_parameter", "model" },
        { "{\"model\":\"chat\"}", "missing_required_parameter", "prompt" },
        { "{\"model\":\"none\",\"prompt\":\"a\"}", "model_not_found", "model", 404 },
        { "{\"model\":\"shield\",\"prompt\":\"a\"}", "model_not_found", "model", 404 },
        { "{\"model\":\"chat\",\"prompt\":null}", "invalid_type", "prompt" },
        { "{\"model\":\"chat\",\"prompt\":[]}", "invalid_value", "prompt" },
        { "{\"model\":\"chat\",\"prompt\":[1,2]}", "unsupported_parameter", "prompt" },
        { "{\"model\":\"chat\",\"prompt\":[[1,2]]}", "invalid_type", "prompt" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"n\":2}", "unsupported_parameter", "n" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"best_of\":2}", "unsupported_parameter",
          "best_of" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"logprobs\":3}", "unsupported_parameter",
          "logprobs" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"echo\":true}", "unsupported_parameter", "echo" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"suffix\":\"b\"}", "unsupported_parameter",
          "suffix" },
        { "{\"model\":\"chat\",\"prompt\":\"a\",\"max_tokens\":0}", "invalid_value",
          "max_tokens" },
}, responses[] = {
        { "{\"input\":\"a\"}", "missing_required_parameter", "model" },
        { "{\"model\":\"chat\"}", "missing_required_parameter", "input" },
        { "{\"model\":\"none\",\"input\":\"a\"}", "model_not_found", "model", 404 },
        { "{\"model\":\"chat\",\"input\":5}", "invalid_type", "input" },
        { "{\"model\":\"chat\",\"input\":[]}", "invalid_value", "input" },
        { "{\"model\":\"chat\",\"input\":[5]}", "invalid_type", "input" },
        { "{\"model\":\"chat\",\"input\":[{\"type\":\"function_call_output\",\"role\":\"user\"}]}",
          "unsupported_value", "input" },
        { "{\"model\":\"chat\",\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}",
          "unsupported_value", "input" },
        { "{\"model\":\"chat\",\"input\":[{\"role\":\"tool\"}]}", "unsupported_value",
          "input[0].role" },
        { "{\"model\":\"chat\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
          "\"input_image\"}]}]}",
          "unsupported_content", "input[0].content" },
        { "{\"model\":\"chat\",\"input\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
          "invalid_value", "input" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"instructions\":5}", "invalid_type",
          "instructions" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"tools\":[{}]}", "unsupported_parameter",
          "tools" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\"}}}",
          "unsupported_parameter", "text.format" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"previous_response_id\":\"resp_1\"}",
          "unsupported_parameter", "previous_response_id" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"conversation\":\"c\"}", "unsupported_parameter",
          "conversation" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"background\":true}", "unsupported_parameter",
          "background" },
        { "{\"model\":\"chat\",\"input\":\"a\",\"prompt\":{\"id\":\"p\"}}",
          "unsupported_parameter", "prompt" },
};

static void test_refusals(void)
{
        for (size_t i = 0; i < ELEMENTSOF(completions); i++) {
                assert(!complete(completions[i].body));
                fake_expect_error(&x, completions[i].status ?: 400, completions[i].code,
                                  completions[i].param);
        }
        for (size_t i = 0; i < ELEMENTSOF(responses); i++) {
                assert(!respond(responses[i].body));
                fake_expect_error(&x, responses[i].status ?: 400, responses[i].code,
                                  responses[i].param);
        }
}

int main(void)
{
        test_models();
        test_completion();
        test_completion_stream();
        test_response();
        test_response_input();
        test_response_stream();
        test_response_failure();
        test_refusals();
        fake_done(&x);
        return 0;
}

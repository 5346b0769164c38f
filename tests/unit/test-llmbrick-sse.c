/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.pb-c.h"

#include "fake-exchange.h"
#include "http/route.h"
#include "util/cleanup.h"

/* llmbrick's SSE server: what llmbrick 0.2.10 answers to the same requests, to the byte. */

#define METHODS (1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_OUTPUT_STREAMING)
#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define BODY(MORE) "{\"model\":\"chat\",\"messages\":[" USER "],\"sessionId\":\"S\"" MORE "}"

static struct exchange x;

static void ask(const char *body, const char *accept)
{
        static const char *models[] = { "gpt-4o" };

        fake_reset(&x);
        fake_add(&x, "chat", BRICK_TYPE_LLM, METHODS);
        x.bricks[0].conf.match_model = models;
        x.bricks[0].conf.n_match_model = 1;
        if (accept)
                fake_field(&x, "accept", accept);
        x.body = body;
        sse_serve(&x, NULL);
}

static const Protocols__Grpc__Llm__LLMRequest *request(void)
{
        assert(x.running && x.call.method == BRICK_METHOD_OUTPUT_STREAMING);
        return fake_request(&x, 0, &protocols__grpc__llm__llmrequest__descriptor);
}

static void reply(const char *text)
{
        Protocols__Grpc__Llm__LLMResponse message = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;

        message.text = (char *)text;
        fake_reply(&x, &message.base);
}

/* --- the schema ---------------------------------------------------------------------------------
 */

#define WRONG(TYPE, LOC, MSG, INPUT) \
        "{\"type\":\"" TYPE "\",\"loc\":[\"body\"" LOC "],\"msg\":\"" MSG "\",\"input\":" INPUT "}"
#define NO_STRING "Input should be a valid string"
#define NO_LIST "Input should be a valid list"
#define EXTRA "Extra inputs are not permitted"

static const struct {
        const char *body;
        const char *errors;
} wrong[] = {
        { "{ \"session_id\" : \"S\" }",
          WRONG("missing", ",\"model\"", "Field required", "{\"session_id\":\"S\"}") "," WRONG(
                  "missing", ",\"messages\"", "Field required", "{\"session_id\":\"S\"}") },
        { BODY(",\"zz\":{ \"b\":[1,2.5,\"\\u00e9\",null] },\"foo\":1"),
          WRONG("extra_forbidden", ",\"zz\"", EXTRA, "{\"b\":[1,2.5,\"\xc3\xa9\",null]}") "," WRONG(
                  "extra_forbidden", ",\"foo\"", EXTRA, "1") },
        { BODY(",\"session_id\":\"T\""),
          WRONG("extra_forbidden", ",\"session_id\"", EXTRA, "\"T\"") },
        { "{\"model\":5,\"messages\":5,\"sessionId\":null}",
          WRONG("string_type", ",\"model\"", NO_STRING,
                "5") "," WRONG("list_type", ",\"messages\"", NO_LIST,
                               "5") "," WRONG("string_type", ",\"sessionId\"", NO_STRING, "null") },
        { "{\"model\":\"chat\",\"messages\":[5,{\"role\":\"user\"},{\"role\":\"user\",\"content\":"
          "5,\"x\":1}],\"session_id\":\"S\"}",
          WRONG("model_attributes_type", ",\"messages\",0",
                "Input should be a valid dictionary or object to extract fields from",
                "5") "," WRONG("missing", ",\"messages\",1,\"content\"", "Field required",
                               "{\"role\":\"user\"}") "," WRONG("string_type",
                                                                ",\"messages\",2,\"content\"",
                                                                NO_STRING,
                                                                "5") "," WRONG("extra_forbidden",
                                                                               ",\"messages\",2,"
                                                                               "\"x\"",
                                                                               EXTRA, "1") },
        { BODY(",\"temperature\":\"x\""),
          WRONG("float_parsing", ",\"temperature\"",
                "Input should be a valid number, unable to parse string as a number", "\"x\"") },
        { BODY(",\"temperature\":[]"),
          WRONG("float_type", ",\"temperature\"", "Input should be a valid number", "[]") },
        { BODY(",\"maxTokens\":1.5"),
          WRONG("int_from_float", ",\"maxTokens\"",
                "Input should be a valid integer, got a number with a fractional part", "1.5") },
        { BODY(",\"max_tokens\":\"x\""),
          WRONG("int_parsing", ",\"max_tokens\"",
                "Input should be a valid integer, unable to parse string as an integer", "\"x\"") },
        { BODY(",\"max_tokens\":{}"),
          WRONG("int_type", ",\"max_tokens\"", "Input should be a valid integer", "{}") },
        { BODY(",\"stream\":\"x\""),
          WRONG("bool_parsing", ",\"stream\"",
                "Input should be a valid boolean, unable to interpret input", "\"x\"") },
        { BODY(",\"stream\":2"),
          WRONG("bool_parsing", ",\"stream\"",
                "Input should be a valid boolean, unable to interpret input", "2") },
        { BODY(",\"stream\":0.5"),
          WRONG("bool_type", ",\"stream\"", "Input should be a valid boolean", "0.5") },
        { BODY(",\"stream\":null"),
          WRONG("bool_type", ",\"stream\"", "Input should be a valid boolean", "null") },
        { BODY(",\"tools\":{}"), WRONG("list_type", ",\"tools\"", NO_LIST, "{}") },
        { BODY(",\"clientId\":5"), WRONG("string_type", ",\"clientId\"", NO_STRING, "5") },
        { BODY(",\"source_language\":5"),
          WRONG("string_type", ",\"source_language\"", NO_STRING, "5") },
};

static void test_schema(void)
{
        char want[2048];

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                ask(wrong[i].body, NULL);
                (void)snprintf(want, sizeof want, "{\"detail\":[%s]}", wrong[i].errors);
                fake_expect(&x, 422, want);
                assert(strcmp(x.type, "application/json") == 0);
        }
}

static const char *const right[] = {
        BODY(",\"temperature\":\" 0.5 \""),
        BODY(",\"temperature\":true"),
        BODY(",\"temperature\":null"),
        BODY(",\"maxTokens\":\"7\""),
        BODY(",\"maxTokens\":2.0"),
        BODY(",\"max_tokens\":false"),
        BODY(",\"max_tokens\":1000000000000000000000000000000"),
        BODY(",\"stream\":\"Off\""),
        BODY(",\"stream\":1.0"),
        BODY(",\"stream\":false"),
        BODY(",\"tools\":[1],\"toolChoice\":5"),
        BODY(",\"tools\":null,\"clientId\":null,\"sourceLanguage\":\"de\""),
};

static void test_conversions(void)
{
        for (size_t i = 0; i < ELEMENTSOF(right); i++) {
                ask(right[i], "text/event-stream");
                assert(request());
        }
}

/* --- the rules ----------------------------------------------------------------------------------
 */

static void expect_refused(const char *details)
{
        char want[1024];

        (void)snprintf(want, sizeof want,
                       "event: error\ndata: {\"error\": \"Business validation failed\", "
                       "\"details\": \"[1400] %s\"}\n\n",
                       details);
        fake_expect(&x, 200, want);
        assert(strcmp(x.type, "text/event-stream; charset=utf-8") == 0);
}

static void ask_messages(const char *messages)
{
        char *body = NULL;

        assert(asprintf(&body, "{\"model\":\"chat\",\"messages\":[%s],\"sessionId\":\"S\"}",
                        messages) > 0);
        ask(body, "text/event-stream");
        free(body);
        x.body = NULL;
}

static void test_rules(void)
{
        char many[101 * sizeof USER] = USER, *text = malloc(20100), *message = malloc(20200);

        ask_messages("");
        expect_refused("Messages cannot be empty");
        for (unsigned i = 0; i < 100; i++)
                strcat(many, "," USER);
        ask_messages(many);
        expect_refused("Too many messages: 101 > 100");

        assert(text && message);
        text[0] = '\0';
        for (unsigned i = 0; i < 10000; i++)
                memcpy(text + 2 * i, "\xc3\xa9", 3);
        (void)snprintf(message, 20200, "{\"role\":\"user\",\"content\":\"%s\"}", text);
        ask_messages(message);
        assert(request()); /* 10000 characters */
        (void)snprintf(message, 20200, "{\"role\":\"user\",\"content\":\"%sx\"}", text);
        ask_messages(message);
        expect_refused("Message 0 too long: 10001 > 10000");
        free(text);
        free(message);

        ask_messages("{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"system\",\"content\":"
                     "\"b\"}," USER);
        expect_refused("Only one system message allowed");
        ask_messages(USER ",{\"role\":\"assistant\",\"content\":\"a\"}");
        expect_refused("Last message must be from user");
        ask_messages("{\"role\":\"t\xc3\xb4ol\\\"\",\"content\":\"a\"}," USER);
        expect_refused("Invalid role 't\\u00f4ol\\\"' in message 0");

        ask("{\"model\":\"n\\ud83d\\ude00\\u0001\",\"messages\":[" USER "],\"sessionId\":\"S\"}",
            "text/event-stream");
        expect_refused("Unsupported model: n\\ud83d\\ude00\\u0001");
}

/* --- conversations ------------------------------------------------------------------------------
 */

static void expect_events(const char *text, const char *end)
{
        char want[2048];
        char id[32];

        (void)snprintf(id, sizeof id, "%.16s", strstr(x.answer, "\"id\":\"") + 6);
        (void)snprintf(want, sizeof want,
                       "event: message\ndata: {\"id\":\"%s\",\"type\":\"text\",\"model\":\"chat\","
                       "\"text\":\"%s\",\"progress\":\"IN_PROGRESS\",\"context\":{"
                       "\"conversation_id\":\"S\",\"cursor\":null},\"metadata\":null}\n\n",
                       id, text);
        if (end)
                strcat(want, end);
        else
                (void)snprintf(want + strlen(want), sizeof want - strlen(want),
                               "event: message\ndata: {\"id\":\"%s\",\"type\":\"done\",\"model\":"
                               "\"chat\",\"text\":null,\"progress\":\"DONE\",\"context\":{"
                               "\"conversation_id\":\"S\",\"cursor\":null},\"metadata\":null}\n\n",
                               id);
        fake_expect(&x, 200, want);
}

static void test_conversation(void)
{
        const Protocols__Grpc__Llm__LLMRequest *r;

        ask("{\"model\":\"chat\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," USER
            "],\"sessionId\":\"S\",\"clientId\":\"C\",\"temperature\":0.5,\"maxTokens\":7,"
            "\"sourceLanguage\":\"de\"}",
            "text/html,text/event-stream");
        r = request();
        assert(strcmp(r->prompt, "hi") == 0 && r->n_context == 1 && !r->model_id[0]);
        assert(strcmp(r->session_id, "S") == 0 && strcmp(r->client_id, "C") == 0);
        assert(r->max_tokens == 7 && strcmp(r->source_language, "de") == 0);
        reply("lo \xc3\xa9\n\x01\x7f");
        fake_success(&x);
        expect_events("lo \xc3\xa9\\n\\u0001\x7f", NULL);

        ask("{\"model\":\"gpt-4o\",\"messages\":[" USER "],\"sessionId\":\"S\"}",
            "text/event-stream");
        assert(strcmp(request()->model_id, "gpt-4o") == 0);
}

#define FAILED                                                                         \
        "event: error\ndata: {\"error\": \"Handler exception\", \"details\": \"brick " \
        "fa\\u00efled\"}\n\n"

static void test_failures(void)
{
        ask(BODY(""), "text/event-stream");
        fake_failure(&x, 500, "brick fa\xc3\xafled");
        fake_expect(&x, 200, FAILED);

        ask(BODY(""), "text/event-stream");
        reply("a");
        fake_failure(&x, 500, "brick fa\xc3\xafled");
        expect_events("a", FAILED);

        ask(BODY(""), "application/json");
        fake_expect(&x, 406,
                    "{\"detail\":{\"error\":\"Accept header must include 'text/event-stream' for "
                    "SSE\"}}");

        fake_reset(&x);
        fake_add(&x, "shield", BRICK_TYPE_GUARD, 1u << BRICK_METHOD_UNARY);
        fake_field(&x, "accept", "text/event-stream");
        x.body = BODY("");
        sse_serve(&x, NULL);
        fake_expect(&x, 404, "{\"detail\":{\"error\":\"Handler not set\"}}");
}

/* Without a session it is a chat completion. */
static void test_others(void)
{
        ask("{\"model\":\"chat\",\"messages\":[" USER "]}", NULL);
        assert(x.running && x.call.method == BRICK_METHOD_UNARY);
        ask("{", NULL);
        fake_expect_error(&x, 400, "invalid_json", NULL);
        ask(NULL, NULL);
        fake_expect_error(&x, 400, "missing_required_parameter", "model");
}

int main(void)
{
        test_schema();
        test_conversions();
        test_rules();
        test_conversation();
        test_failures();
        test_others();
        fake_done(&x);
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/chat-request.h"
#include "util/arena.h"
#include "util/cleanup.h"

/* Bodies of chat completions: what becomes of each field, and what is refused with which name. */

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct arena arena;

static bool read_body(const char *text, struct chat_request *ret, struct exchange_error *error)
{
        struct json_mistake mistake;
        struct json_value body;

        assert(json_check(text, strlen(text), &body, &mistake));
        arena_reset(&arena, 1 << 20);
        return chat_request_read(ret, body, &arena, error);
}

static const struct {
        const char *body;
        const char *code; /* NULL: it is right */
        const char *param;
} bodies[] = {
        { "{\"model\":\"m\"," USER "}", NULL, NULL },
        { "{\"model\":\"m\"," USER ",\"tools\":[],\"tool_choice\":\"auto\",\"n\":1,\"logprobs\":"
          "false,\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],\"stop\":null}",
          NULL, NULL },
        { "[]", "invalid_type", NULL },
        { "{" USER "}", "missing_required_parameter", "model" },
        { "{\"model\":1," USER "}", "invalid_type", "model" },
        { "{\"model\":\"m\"}", "missing_required_parameter", "messages" },
        { "{\"model\":\"m\",\"messages\":[]}", "invalid_value", "messages" },
        { "{\"model\":\"m\",\"messages\":\"hi\"}", "invalid_type", "messages" },
        { "{\"model\":\"m\",\"messages\":[\"hi\"]}", "invalid_type", "messages" },
        { "{\"model\":\"m\",\"messages\":[{\"content\":\"hi\"}]}", "missing_required_parameter",
          "messages" },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"hi\"}]}",
          "invalid_value", "messages" },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"hi\"}]}",
          "unsupported_value", "messages[0].role" },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"boss\",\"content\":\"hi\"}]}",
          "invalid_value", "messages[0].role" },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}"
          "]}]}",
          "unsupported_content", "messages[0].content" },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000\"}]}",
          "invalid_value", "messages[0].content" },
        { "{\"model\":\"m\"," USER ",\"stream\":1}", "invalid_type", "stream" },
        { "{\"model\":\"m\"," USER ",\"max_tokens\":0}", "invalid_value", "max_tokens" },
        { "{\"model\":\"m\"," USER ",\"max_tokens\":1.5}", "invalid_value", "max_tokens" },
        { "{\"model\":\"m\"," USER ",\"max_tokens\":\"9\"}", "invalid_type", "max_tokens" },
        { "{\"model\":\"m\"," USER ",\"max_tokens\":1e10}", "invalid_value", "max_tokens" },
        { "{\"model\":\"m\"," USER ",\"temperature\":3}", "invalid_value", "temperature" },
        { "{\"model\":\"m\"," USER ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "invalid_value",
          "stop" },
        { "{\"model\":\"m\"," USER ",\"tools\":[{}]}", "unsupported_parameter", "tools" },
        { "{\"model\":\"m\"," USER ",\"functions\":[{}]}", "unsupported_parameter", "functions" },
        { "{\"model\":\"m\"," USER ",\"tool_choice\":\"required\"}", "unsupported_parameter",
          "tool_choice" },
        { "{\"model\":\"m\"," USER ",\"response_format\":{\"type\":\"json_object\"}}",
          "unsupported_parameter", "response_format" },
        { "{\"model\":\"m\"," USER ",\"n\":2}", "unsupported_parameter", "n" },
        { "{\"model\":\"m\"," USER ",\"logprobs\":true}", "unsupported_parameter", "logprobs" },
        { "{\"model\":\"m\"," USER ",\"audio\":{}}", "unsupported_parameter", "audio" },
        { "{\"model\":\"m\"," USER ",\"prediction\":{}}", "unsupported_parameter", "prediction" },
};

static void test_mistakes(void)
{
        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                struct exchange_error error = { 0 };
                struct chat_request request;
                bool right = read_body(bodies[i].body, &request, &error);

                if (right == !bodies[i].code &&
                    (right || (strcmp(error.code, bodies[i].code) == 0 && error.status == 400 &&
                               error.message && !error.param == !bodies[i].param &&
                               (!error.param || strcmp(error.param, bodies[i].param) == 0))))
                        continue;
                fprintf(stderr, "%s: %s %s\n", bodies[i].body, error.code, error.param);
                abort();
        }
}

static void test_values(void)
{
        struct exchange_error error;
        struct chat_request r;

        assert(read_body(
                "{\"model\":\"chat\",\"messages\":[{\"role\":\"developer\",\"content\":\"be "
                "short\"},{\"role\":\"assistant\",\"content\":null},{\"role\":\"user\","
                "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":"
                "\"b\"}]}],\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                "\"max_completion_tokens\":5,\"max_tokens\":9,\"temperature\":0,\"user\":\"u\","
                "\"stop\":[\"x\",\"\",\"y\"],\"seed\":1,\"top_p\":null,\"a "
                "b\":1,\"logit_bias\":{}}",
                &r, &error));
        assert(strcmp(r.model, "chat") == 0 && r.stream && r.include_usage);
        assert(r.message.n_context == 2 && strcmp(r.message.context[0]->role, "system") == 0);
        assert(strcmp(r.message.context[1]->content, "") == 0);
        assert(strcmp(r.message.prompt, "a\nb") == 0 && strcmp(r.message.client_id, "u") == 0);
        assert(r.message.max_tokens == 5 && r.has_temperature && r.message.temperature == 0);
        assert(r.n_stops == 2 && strcmp(r.stops[1], "y") == 0);
        assert(strcmp(r.ignored, "seed, logit_bias") == 0);
}

static void test_memory(void)
{
        struct exchange_error error;
        struct json_mistake mistake;
        struct chat_request r;
        struct json_value body;
        static char text[40000] =
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"";
        size_t n = strlen(text);

        memset(text + n, 'x', 30000);
        strcpy(text + n + 30000, "\"}]}");
        assert(json_check(text, strlen(text), &body, &mistake));
        arena_reset(&arena, 8192);
        assert(!chat_request_read(&r, body, &arena, &error) && error.status == 413);
}

int main(void)
{
        arena_init(&arena, 1 << 20);
        test_mistakes();
        test_values();
        test_memory();
        arena_done(&arena);
        return 0;
}

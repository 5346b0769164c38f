/* SPDX-License-Identifier: MIT */

/* The bodies of requests. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

static struct request_options options = { .temperature = NAN };
static LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;

/* What is sent; "": the request is refused with this error. */
static void check(bool stream, double temperature, const char *json, int error)
{
        struct request made = {};
        int r;

        r = request_make(&made, &options, &request, stream, temperature, REQUEST_MAX_TOKENS);
        assert(r == error);
        if (r == 0 && (made.n != strlen(json) || memcmp(made.json, json, made.n) != 0))
                fprintf(stderr, "%.*s\n", (int)made.n, made.json);
        assert(r < 0 || (made.n == strlen(json) && memcmp(made.json, json, made.n) == 0));
        free(made.json);
}

static void test_messages(void)
{
        LLMContext nameless = PROTOCOLS__GRPC__LLM__CONTEXT__INIT;
        LLMContext robot = PROTOCOLS__GRPC__LLM__CONTEXT__INIT;
        LLMContext empty = PROTOCOLS__GRPC__LLM__CONTEXT__INIT;
        LLMContext *context[] = { &nameless, &robot, &empty };

        check(false, NAN, "", -ENODATA);
        options.system_prompt = (char *)"s";
        check(false, NAN, "", -ENODATA);
        options.system_prompt = NULL;
        options.default_prompt = (char *)"d";
        check(false, NAN,
              "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"d\"}],"
              "\"stream\":false}",
              0);
        options.default_prompt = (char *)"";
        options.system_prompt = (char *)"s";
        nameless.content = (char *)"c1";
        robot.role = (char *)"assistant";
        robot.content = (char *)"\"c\\2\"\n\x01\xe4\xbd\xa0";
        request.context = context;
        request.n_context = 3;
        check(false, NAN,
              "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
              "{\"role\":\"user\",\"content\":\"c1\"},{\"role\":\"assistant\",\"content\":"
              "\"\\\"c\\\\2\\\"\\n\\u0001\xe4\xbd\xa0\"}],\"stream\":false}",
              0);
        request.n_context = 0;
        options.system_prompt = NULL;
}

#define HEAD "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"p\"}],\"stream\":"

static void test_parameters(void)
{
        struct request_field fields[] = {
                { (char *)"temperature", (char *)"1" },
                { (char *)"max_tokens", (char *)"9" },
                { (char *)"enable_thinking", (char *)"false" },
        };

        request.prompt = (char *)"p";
        check(true, NAN, HEAD "true}", 0);
        options.include_usage = true;
        check(true, NAN, HEAD "true,\"stream_options\":{\"include_usage\":true}}", 0);
        check(false, 0, HEAD "false,\"temperature\":0}", 0);
        options.temperature = 0.25;
        check(false, NAN, HEAD "false,\"temperature\":0.25}", 0);
        check(false, 0, HEAD "false,\"temperature\":0}", 0);
        request.temperature = 0.7f;
        check(false, 0, HEAD "false,\"temperature\":0.7}", 0);
        options.fields = fields;
        options.n_fields = 3;
        check(false, NAN,
              HEAD "false,\"temperature\":0.7,\"max_tokens\":9,\"enable_thinking\":false}", 0);
        request.max_tokens = 7;
        check(false, NAN,
              HEAD "false,\"temperature\":0.7,\"enable_thinking\":false,\"max_tokens\":7}", 0);
        request.temperature = 0;
        options.temperature = NAN;
        request.max_tokens = -1;
        check(false, NAN,
              HEAD "false,\"temperature\":1,\"max_tokens\":9,\"enable_thinking\":false}", 0);
        fields[0].name = (char *)"stream_options";
        check(true, NAN,
              HEAD "true,\"stream_options\":1,\"max_tokens\":9,\"enable_thinking\":false}", 0);
        options.n_fields = 0;
        request.temperature = NAN;
        check(false, NAN, "", -EINVAL);
        request.temperature = INFINITY;
        check(false, NAN, "", -EINVAL);
        request.temperature = 0;
}

static void test_limit(void)
{
        struct request made;

        request.max_tokens = INT32_MAX;
        assert(request_make(&made, &options, &request, false, NAN, REQUEST_MAX_TOKENS) == 0);
        request_set_limit(&made, REQUEST_MAX_COMPLETION_TOKENS);
        made.json[made.n] = '\0';
        assert(strcmp(made.json, HEAD "false,\"max_completion_tokens\":2147483647}") == 0);
        request_set_limit(&made, REQUEST_MAX_TOKENS);
        made.json[made.n] = '\0';
        assert(strcmp(made.json, HEAD "false,\"max_tokens\":2147483647}") == 0);
        free(made.json);
}

int main(void)
{
        options.model = (char *)"m";
        options.default_prompt = (char *)"";
        test_messages();
        test_parameters();
        test_limit();
        return 0;
}

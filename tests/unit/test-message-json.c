/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http/message-json.h"
#include "serve/service.h"
#include "serve/validate.h"
#include "util/arena.h"
#include "util/cleanup.h"

/* Messages as JSON: what is written of each kind of field, and which mistakes are told with which
 * words. tests/fuzz/fuzz-message-json.c holds the mapping beside brickctl's. */

static struct arena arena;

static const ProtobufCMessageDescriptor *request_of(unsigned type)
{
        return service_request(service_of_type(type), BRICK_METHOD_UNARY);
}

static bool read_json(const ProtobufCMessageDescriptor *type, const char *text,
                      struct brick_bytes *ret, const char **ret_mistake)
{
        struct json_mistake mistake;
        struct json_value json;

        assert(json_check(text, strlen(text), &json, &mistake));
        return message_json_read(type, json, &arena, ret, ret_mistake);
}

static const struct {
        unsigned type;
        const char *in;
        const char *out; /* NULL: the same */
} messages[] = {
        { BRICK_TYPE_LLM,
          "{\"model_id\":\"m\",\"prompt\":\"p\xc3\xa9\\n\",\"context\":[{\"role\":\"r\","
          "\"content\":\"c\"},{\"role\":\"\",\"content\":\"\"}],\"client_id\":\"a\","
          "\"session_id\":\"b\",\"request_id\":\"c\",\"source_language\":\"d\","
          "\"temperature\":0.7,\"max_tokens\":-7}",
          NULL },
        { BRICK_TYPE_LLM, "{\"max_tokens\":2147483647.0,\"temperature\":\"NaN\",\"prompt\":null}",
          "{\"model_id\":\"\",\"prompt\":\"\",\"context\":[],\"client_id\":\"\","
          "\"session_id\":\"\",\"request_id\":\"\",\"source_language\":\"\","
          "\"temperature\":\"NaN\",\"max_tokens\":2147483647}" },
        { BRICK_TYPE_COMMON,
          "{\"data\":{\"n\":null,\"t\":true,\"f\":false,\"i\":-5,\"r\":0.1,\"s\":\"\","
          "\"l\":[[],{},[null]],\"o\":{\"\":{\"deep\":[{\"er\":1e+300}]}}}}",
          NULL },
        { BRICK_TYPE_COMMON, "{\"data\":{}}", NULL },
        { BRICK_TYPE_COMMON, "{}", NULL },
        { BRICK_TYPE_COMPOSE,
          "{\"input_documents\":[{\"doc_id\":\"1\",\"title\":\"t\",\"snippet\":\"s\","
          "\"score\":0.25,\"metadata\":{\"k\":[1,\"x\",null]}},{\"doc_id\":\"\",\"title\":\"\","
          "\"snippet\":\"\",\"score\":0}],\"target_format\":\"f\",\"client_id\":\"a\","
          "\"session_id\":\"b\",\"request_id\":\"c\",\"source_language\":\"d\"}",
          NULL },
};

static void test_messages(void)
{
        for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
                const ProtobufCMessageDescriptor *type = request_of(messages[i].type);
                const char *want = messages[i].out ?: messages[i].in, *mistake;
                struct brick_bytes wire;
                struct json_text text;

                arena_reset(&arena, 1 << 20);
                text = json_text(&arena);
                assert(read_json(type, messages[i].in, &wire, &mistake));
                assert(validate_message(type, wire.ptr, wire.len, 0));
                message_json_write(&text, type, wire, 0);
                assert(!text.failed);
                if (text.length != strlen(want) || memcmp(text.bytes, want, text.length) != 0)
                        fprintf(stderr, "got  %.*s\nwant %s\n", (int)text.length, text.bytes, want);
                assert(text.length == strlen(want) && memcmp(text.bytes, want, text.length) == 0);
        }
}

static const struct {
        unsigned type;
        const char *in;
        const char *mistake;
} mistakes[] = {
        { BRICK_TYPE_LLM, "[]", "expected an object, got a list" },
        { BRICK_TYPE_LLM, "{\"promt\":\"x\"}", "promt: no such field; did you mean 'prompt'?" },
        { BRICK_TYPE_LLM, "{\"zzzzzzz\":\"x\"}", "zzzzzzz: no such field in LLMRequest" },
        { BRICK_TYPE_LLM, "{\"context\":[{},{\"rol\":1}]}",
          "context[1].rol: no such field; did you mean 'role'?" },
        { BRICK_TYPE_LLM, "{\"context\":[{},{\"role\":1}]}",
          "context[1].role: expected a string, got a number" },
        { BRICK_TYPE_LLM, "{\"context\":{}}", "context: expected a list, got an object" },
        { BRICK_TYPE_LLM, "{\"max_tokens\":\"1\"}",
          "max_tokens: expected an integer, got a string" },
        { BRICK_TYPE_LLM, "{\"max_tokens\":1.5}",
          "max_tokens: expected an integer, got a fraction" },
        { BRICK_TYPE_LLM, "{\"max_tokens\":2147483648}",
          "max_tokens: out of range: at least -2147483648, at most 2147483647" },
        { BRICK_TYPE_LLM, "{\"temperature\":1e39}",
          "temperature: out of range: at most 3.40282e+38" },
        { BRICK_TYPE_LLM, "{\"prompt\":\"a\",\"prompt\":\"b\"}",
          "prompt: there are two fields of this name" },
        { BRICK_TYPE_GUARD, "{\"text\":\"a\\u0000\"}", "text: a NUL character is not allowed" },
        { BRICK_TYPE_COMMON, "{\"data\":[]}", "data: expected an object, got a list" },
        { BRICK_TYPE_COMMON, "{\"data\":{\"a\":[{\"b\":\"\\u0000\"}]}}",
          "data.a[0].b: a NUL character is not allowed" },
};

static void test_mistakes(void)
{
        for (size_t i = 0; i < ELEMENTSOF(mistakes); i++) {
                struct brick_bytes wire;
                const char *mistake;

                arena_reset(&arena, 1 << 20);
                assert(!read_json(request_of(mistakes[i].type), mistakes[i].in, &wire, &mistake));
                if (!mistake || strcmp(mistake, mistakes[i].mistake) != 0)
                        fprintf(stderr, "got  %s\nwant %s\n", mistake, mistakes[i].mistake);
                assert(mistake && strcmp(mistake, mistakes[i].mistake) == 0);
        }
}

/* A Struct nests as deep as a message may. */
static void test_depth(void)
{
        for (unsigned depth = 1; depth < JSON_READ_DEPTH - 1; depth++) {
                const ProtobufCMessageDescriptor *type = request_of(BRICK_TYPE_COMMON);
                char text[8 * JSON_READ_DEPTH] = "{\"data\":";
                struct brick_bytes wire;
                const char *mistake;

                for (unsigned i = 0; i < depth; i++)
                        strcat(text, "{\"a\":");
                strcat(text, "1");
                for (unsigned i = 0; i < depth; i++)
                        strcat(text, "}");
                strcat(text, "}");
                arena_reset(&arena, 1 << 20);
                if (read_json(type, text, &wire, &mistake))
                        assert(validate_message(type, wire.ptr, wire.len, 0));
                else
                        assert(strstr(mistake, ": too deep"));
                /* two levels more of the wire format, for an entry and its value; then a struct */
                assert((3 * depth <= VALIDATE_DEPTH_MAX) == !mistake);
        }
}

/* Many small values cost no more than a few times their bytes, and an arena that is full is said.
 */
static void test_memory(void)
{
        static char text[1 << 20] = "{\"data\":{\"a\":[";
        const ProtobufCMessageDescriptor *type = request_of(BRICK_TYPE_COMMON);
        size_t n = strlen(text);
        struct brick_bytes wire;
        const char *mistake;

        while (n < sizeof text - 16) {
                memcpy(text + n, "{},", 3);
                n += 3;
        }
        strcpy(text + n, "0]}}");
        arena_reset(&arena, 8 * sizeof text);
        assert(read_json(type, text, &wire, &mistake));
        assert(validate_message(type, wire.ptr, wire.len, 0));
        arena_reset(&arena, sizeof text);
        assert(!read_json(type, text, &wire, &mistake) && !mistake);
}

int main(void)
{
        arena_init(&arena, 1 << 20);
        test_messages();
        test_mistakes();
        test_depth();
        test_memory();
        arena_done(&arena);
        return 0;
}

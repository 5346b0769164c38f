/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common.pb-c.h"
#include "struct.pb-c.h"

#include "ctl/json.h"
#include "ctl/service.h"

static const ProtobufCMessageDescriptor *type_of(const char *service, const char *method)
{
        const struct service *s = service_find(service);

        assert(s);
        return service_method(s, method_find(method))->input;
}

static const ProtobufCMessageDescriptor *reply_of(const char *service, const char *method)
{
        return service_method(service_find(service), method_find(method))->output;
}

static void check_begins(const char *got, const char *want)
{
        bool good = strncmp(got, want, strlen(want)) == 0;

        if (!good)
                fprintf(stderr, "got  %s\nwant %s\n", got, want);
        assert(good);
}

static void check_same(const char *got, const char *want)
{
        check_begins(got, want);
        assert(strlen(got) == strlen(want));
}

/* JSON in, through the wire's bytes, and out again. */
static char *round_trip(const ProtobufCMessageDescriptor *type, const char *text)
{
        _cleanup_(message_freep) ProtobufCMessage *message = NULL, *again = NULL;
        _cleanup_(json_unrefp) json_t *json = NULL;
        _cleanup_free_ uint8_t *bytes = NULL;
        _cleanup_free_ char *error = NULL;
        size_t size;
        int r;

        r = message_from_text(type, NULL, text, strlen(text), &message, &error);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", text, error);
        assert(r == 0);
        size = protobuf_c_message_get_packed_size(message);
        bytes = malloc(size + 1);
        assert(bytes && protobuf_c_message_pack(message, bytes) == size);
        again = message_unpack(type, bytes, size);
        assert(again);
        json = message_to_json(again);
        assert(json);

        return json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
}

static void test_messages(void)
{
        static const struct {
                const char *service;
                const char *in;
                const char *out; /* NULL: the same */
        } cases[] = {
                { "LLM",
                  "{\"model_id\":\"m\",\"prompt\":\"p\xc3\xa9\\n\",\"context\":[{\"role\":\"r\","
                  "\"content\":\"c\"},{\"role\":\"\",\"content\":\"\"}],\"client_id\":\"a\","
                  "\"session_id\":\"b\",\"request_id\":\"c\",\"source_language\":\"d\","
                  "\"temperature\":0.5,\"max_tokens\":-7}" },
                { "LLM", "{\"max_tokens\":2147483647.0,\"temperature\":2,\"prompt\":null}",
                  "{\"model_id\":\"\",\"prompt\":\"\",\"context\":[],\"client_id\":\"\","
                  "\"session_id\":\"\",\"request_id\":\"\",\"source_language\":\"\","
                  "\"temperature\":2.0,\"max_tokens\":2147483647}" },
                { "Guard",
                  "{\"text\":\"t\",\"client_id\":\"a\",\"session_id\":\"b\",\"request_id\":\"c\","
                  "\"source_language\":\"d\"}" },
                { "Rectify",
                  "{\"text\":\"t\",\"client_id\":\"a\",\"session_id\":\"b\",\"request_id\":\"c\","
                  "\"source_language\":\"d\"}" },
                { "Intention",
                  "{\"text\":\"t\",\"client_id\":\"a\",\"session_id\":\"b\",\"request_id\":\"c\","
                  "\"source_language\":\"d\"}" },
                { "Retrieval",
                  "{\"query\":\"q\",\"max_results\":3,\"client_id\":\"a\",\"session_id\":\"b\","
                  "\"request_id\":\"c\",\"source_language\":\"d\"}" },
                { "Translate",
                  "{\"text\":\"t\",\"model_id\":\"m\",\"target_language\":\"de\",\"client_id\":"
                  "\"a\",\"session_id\":\"b\",\"request_id\":\"c\",\"source_language\":\"d\"}" },
                { "Compose",
                  "{\"input_documents\":[{\"doc_id\":\"1\",\"title\":\"t\",\"snippet\":\"s\","
                  "\"score\":0.25,\"metadata\":{\"k\":[1.0,\"x\",null,true,{\"d\":[]}]}},{\"doc_"
                  "id\":\"\",\"title\":\"\",\"snippet\":\"\",\"score\":0.0}],\"target_format\":"
                  "\"f\",\"client_id\":\"a\",\"session_id\":\"b\",\"request_id\":\"c\",\"source_"
                  "language\":\"d\"}" },
                { "Common",
                  "{\"data\":{\"n\":null,\"t\":true,\"f\":false,\"i\":-5,\"r\":0.1,\"s\":\"\","
                  "\"l\":[[],{},[null]],\"o\":{\"\":{\"deep\":[{\"er\":1e300}]}}}}",
                  "{\"data\":{\"n\":null,\"t\":true,\"f\":false,\"i\":-5.0,"
                  "\"r\":0.10000000000000001,\"s\":\"\",\"l\":[[],{},[null]],"
                  "\"o\":{\"\":{\"deep\":[{\"er\":1.0000000000000001e300}]}}}}" },
                { "Common", "{\"data\":{}}" },
                { "Common", "{}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *out = round_trip(type_of(cases[i].service, "Unary"),
                                                      cases[i].in);

                check_same(out, cases[i].out ?: cases[i].in);
        }
}

/* Replies have fields that requests have not: booleans, lists of strings, errors. */
static void test_replies(void)
{
        static const struct {
                const char *service;
                const char *method;
                const char *json;
        } cases[] = {
                { "LLM", "OutputStreaming",
                  "{\"text\":\"t\",\"tokens\":[\"a\",\"\"],\"is_final\":true,\"error\":{\"code\":"
                  "200,\"message\":\"\",\"detail\":\"\"}}" },
                { "Guard", "Unary",
                  "{\"results\":[{\"is_attack\":true,\"confidence\":0.5,\"detail\":\"d\"}],"
                  "\"error\":{\"code\":-5,\"message\":\"m\",\"detail\":\"d\"}}" },
                { "Rectify", "Unary", "{\"corrected_text\":\"c\"}" },
                { "Intention", "Unary",
                  "{\"results\":[{\"intent_category\":\"i\",\"confidence\":1.0}]}" },
                { "Retrieval", "Unary",
                  "{\"documents\":[{\"doc_id\":\"1\",\"title\":\"t\",\"snippet\":\"s\",\"score\":"
                  "0.0,\"metadata\":{}}]}" },
                { "Translate", "Unary",
                  "{\"text\":\"t\",\"tokens\":[],\"language_code\":\"l\",\"is_final\":false}" },
                { "Compose", "Unary", "{\"output\":{\"a\":[\"b\"]}}" },
                { "Common", "BidiStreaming", "{\"data\":{\"a\":\"b\"}}" },
                { "Common", "info",
                  "{\"service_name\":\"s\",\"version\":\"v\",\"models\":[{\"model_id\":\"m\","
                  "\"version\":\"1\",\"supported_languages\":[\"en\"],\"support_streaming\":true,"
                  "\"description\":\"d\"}]}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *out = round_trip(reply_of(cases[i].service, cases[i].method),
                                                      cases[i].json);

                check_same(out, cases[i].json);
        }
}

static void test_mistakes(void)
{
        static const struct {
                const char *service;
                const char *text;
                const char *error; /* what it begins with */
        } cases[] = {
                { "LLM", "{\"promt\":1}", "promt: no such field; did you mean 'prompt'?" },
                { "LLM", "{\"zzz\":1}", "zzz: no such field in LLMRequest" },
                { "LLM", "{\"prompt\":1}", "prompt: expected a string, got a number" },
                { "LLM", "{\"prompt\":[]}", "prompt: expected a string, got a list" },
                { "LLM", "{\"prompt\":{}}", "prompt: expected a string, got an object" },
                { "LLM", "{\"max_tokens\":\"1\"}", "max_tokens: expected an integer, got a s" },
                { "LLM", "{\"max_tokens\":0.5}", "max_tokens: expected an integer, got a frac" },
                { "LLM", "{\"max_tokens\":2147483648}", "max_tokens: out of range" },
                { "LLM", "{\"max_tokens\":-2147483649}", "max_tokens: out of range" },
                { "LLM", "{\"temperature\":true}", "temperature: expected a number, got true" },
                { "LLM", "{\"temperature\":\"hot\"}", "temperature: expected a number, got a st" },
                { "LLM", "{\"temperature\":1e39}", "temperature: out of range" },
                { "LLM", "{\"context\":{}}", "context: expected a list, got an object" },
                { "LLM", "{\"context\":[1]}", "context[0]: expected an object, got a number" },
                { "LLM", "{\"context\":[{},{\"rol\":1}]}",
                  "context[1].rol: no such field; did you mean 'role'?" },
                { "LLM", "{\"context\":[null]}", "context[0]: expected an object, got null" },
                { "LLM", "{\"prompt\":\"a\",\"prompt\":\"b\"}", "not JSON: duplicate object key" },
                { "LLM", "{\"prompt\":\"\\u0000\"}", "not JSON: " },
                { "LLM", "{\"prompt\":\"a\"} x", "not JSON: " },
                { "LLM", "{", "not JSON: " },
                { "LLM", "\"a", "not JSON: " },
                { "LLM", "\xff", "the text is not UTF-8" },
                { "Common", "{\"data\":[]}", "data: expected an object, got a list" },
                { "Common", "text", "expected a JSON object '{...}' for CommonRequest" },
                { "Compose", "{\"input_documents\":[{\"metadata\":1}]}",
                  "input_documents[0].metadata: expected an object, got a number" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct service *service = service_find(cases[i].service);
                _cleanup_free_ char *error = NULL;
                ProtobufCMessage *message = NULL;

                assert(message_from_text(type_of(cases[i].service, "Unary"), service->request_text,
                                         cases[i].text, strlen(cases[i].text), &message,
                                         &error) == -EINVAL);
                check_begins(error, cases[i].error);
                assert(!message);
        }
}

static void test_short_form(void)
{
        static const struct {
                const char *service;
                const char *text;
                const char *value;
        } cases[] = {
                { "LLM", "hi there", "hi there" },
                { "LLM", " \"a\\\"b\"\n", "a\"b" },
                { "Guard", "", "" },
                { "Guard", "[1]", "[1]" },
                { "Rectify", " {\"text\":\"x\"}", "x" },
                { "Intention", "\xe4\xbd\xa0", "\xe4\xbd\xa0" },
                { "Retrieval", "q", "q" },
                { "Translate", "42", "42" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct service *service = service_find(cases[i].service);
                _cleanup_(message_freep) ProtobufCMessage *message = NULL;
                _cleanup_(json_unrefp) json_t *json = NULL;
                char *error = NULL;

                assert(message_from_text(type_of(cases[i].service, "Unary"), service->request_text,
                                         cases[i].text, strlen(cases[i].text), &message,
                                         &error) == 0);
                json = message_to_json(message);
                assert(strcmp(json_string_value(json_object_get(json, service->request_text)),
                              cases[i].value) == 0);
        }
}

/* What JSON has no numbers for, in both directions; a float as a person would write it. */
static void test_numbers(void)
{
        static const char *const texts[][2] = {
                { "\"NaN\"", "\"NaN\"" },
                { "\"Infinity\"", "\"Infinity\"" },
                { "\"-Infinity\"", "\"-Infinity\"" },
                { "0.7", "0.69999999999999996" }, /* the double nearest to 0.7 */
                { "3.4028234663852886e38", "3.4028234999999999e38" },
                { "1e-45", "1.4013e-45" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *out = NULL;
                char text[128];
                const char *number;

                (void)snprintf(text, sizeof text, "{\"temperature\":%s}", texts[i][0]);
                out = round_trip(type_of("LLM", "Unary"), text);
                number = strstr(out, "\"temperature\":") + strlen("\"temperature\":");
                check_begins(number, texts[i][1]);
        }
}

/* Structs within structs, from the inside out; the caller frees the bytes. */
static uint8_t *nest(unsigned depth, size_t *ret_length)
{
        size_t capacity = (size_t)depth * 32 + 64, length = 0;
        uint8_t *bytes = malloc(capacity), *p = bytes + capacity;

        assert(bytes);
        for (unsigned i = 0; i < depth; i++) {
                /* data or struct_value, fields, value of the entry: tags 1 or 5, 1, 2 */
                static const uint8_t tags[] = { 0x2a, 0x12, 0x0a };

                for (size_t j = 0; j < ELEMENTSOF(tags); j++) {
                        uint8_t varint[5];
                        size_t n = 0, v = length;

                        do
                                varint[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
                        while (v >>= 7);
                        p -= n;
                        memcpy(p, varint, n);
                        *--p = i + 1 == depth && j == 0 ? 0x2a : tags[j];
                        length += n + 1;
                }
        }
        memmove(bytes, p, length);
        *ret_length = length;

        return bytes;
}

static void test_nesting(void)
{
        const ProtobufCMessageDescriptor *type = &google__protobuf__struct__descriptor;
        _cleanup_(json_unrefp) json_t *json = NULL;
        _cleanup_free_ uint8_t *some = NULL, *much = NULL;
        ProtobufCMessage *message;
        size_t length;

        some = nest(100, &length);
        message = message_unpack(type, some, length);
        assert(message);
        json = message_to_json(message);
        assert(json);
        message_free(message);

        much = nest(100000, &length);
        assert(!message_unpack(type, much, length));
}

/* An empty document takes two bytes. */
static void test_many_parts(void)
{
        static const size_t few = 100000, many = 8 << 20;
        const ProtobufCMessageDescriptor *type = reply_of("Retrieval", "Unary");
        _cleanup_free_ uint8_t *bytes = calloc(many, 2);
        ProtobufCMessage *message;

        assert(bytes);
        for (size_t i = 0; i < many; i++)
                bytes[2 * i] = 0x0a;
        message = message_unpack(type, bytes, 2 * few);
        assert(message);
        message_free(message);
        assert(!message_unpack(type, bytes, 2 * many));
}

static void test_bytes_that_are_no_text(void)
{
        static const uint8_t bytes[] = { 0x0a, 0x02, 'a', 0xff };
        _cleanup_(message_freep) ProtobufCMessage *message = NULL;

        message = message_unpack(reply_of("LLM", "Unary"), bytes, sizeof bytes);
        assert(message);
        assert(!message_to_json(message));
        assert(!message_unpack(reply_of("LLM", "Unary"), bytes, sizeof bytes - 1));
}

static void test_names(void)
{
        for (const struct service *s = services; s->name; s++) {
                assert(service_find(s->name) == s);
                assert(service_find(s->descriptor->short_name) == s);
                assert(service_find(s->descriptor->name) == s);
                assert(service_method(s, method_find("INFO")));
                assert(service_method(s, method_find("unary")));
        }
        assert(!service_find("LL"));
        assert(!method_find("stream"));
        assert(!service_method(service_find("guard"), method_find("OutputStreaming")));
        assert(service_method(service_find("common"), method_find("BidiStreaming")));
}

int main(void)
{
        test_messages();
        test_replies();
        test_mistakes();
        test_short_form();
        test_numbers();
        test_nesting();
        test_many_parts();
        test_bytes_that_are_no_text();
        test_names();
        return 0;
}

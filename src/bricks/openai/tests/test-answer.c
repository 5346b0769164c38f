/* SPDX-License-Identifier: MIT */

/* Event streams and the JSON in them, in pieces of every size. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "sse.h"

/* --- events --------------------------------------------------------------------------- */

/* "data|" for each event, "!data|" for an error; "<errno>" for a failure. */
static void read_pieces(const char *bytes, size_t n, size_t piece, size_t max, char *to)
{
        struct sse sse;
        int r = 0;

        *to = '\0';
        sse_init(&sse, max);
        for (size_t at = 0; r >= 0 && at < n; at += piece) {
                const char *pos = bytes + at, *end = n - at < piece ? bytes + n : pos + piece;

                while ((r = sse_next(&sse, &pos, end)) > 0)
                        to += sprintf(to, "%s%s|", sse.is_error ? "!" : "", sse.data);
        }
        if (r >= 0) {
                r = sse_last(&sse);
                if (r > 0)
                        to += sprintf(to, "%s%s|", sse.is_error ? "!" : "", sse.data);
        }
        if (r < 0)
                (void)sprintf(to, "<%d>", -r);
        sse_done(&sse);
}

static void test_events(void)
{
        static const struct {
                const char *bytes, *events;
        } rows[] = {
                { "data: a\n\ndata: b\n\n", "a|b|" },
                { "data: a\r\n\r\ndata: b\r\n\r\n", "a|b|" },
                { "data: a\r\rdata: b\r\r", "a|b|" },
                { "data: a\r\n\ndata: b\n\r\n", "a|b|" },
                { "data:a\n\n", "a|" },
                { "data:  a\n\n", " a|" },
                { "data: a\ndata: b\n\n", "a\nb|" },
                { "data\ndata: b\n\n", "\nb|" },
                { "data\n\n", "|" },
                { ": comment\n\ndata: a\n: another\n\n:\n\n", "a|" },
                { "id: 1\nretry: 5\nevent: x\ndata: a\n\n", "a|" },
                { "event: error\ndata: a\n\ndata: b\n\n", "!a|b|" },
                { "event: error\n\ndata: b\n\n", "b|" },
                { "event: error\nevent: message\ndata: b\n\n", "b|" },
                { "\xef\xbb\xbf"
                  "data: a\n\n",
                  "a|" },
                { "\n\n\ndata: a\n\n\n\n", "a|" },
                { "dat: a\nDATA: b\n\n", "" },
                { "data: a", "a|" },
                { "data: a\n", "a|" },
                { "data: a\r", "a|" },
                { "", "" },
                { "data: \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80\n\n",
                  "\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80|" },
                { "data: 0123456789012345678901234567890123456789\n\n", "<90>" },
                { "data: 01234567890123456789\ndata: 01234567890123456789\n\n", "<90>" },
                { ": 0123456789012345678901234567890123456789", "<90>" },
        };
        char events[256];

        assert(EMSGSIZE == 90);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                for (size_t piece = 1; piece <= strlen(rows[i].bytes) + 1; piece++) {
                        read_pieces(rows[i].bytes, strlen(rows[i].bytes), piece, 36, events);
                        assert(strcmp(events, rows[i].events) == 0);
                }
}

/* --- answers -------------------------------------------------------------------------- */

static int take(struct chat_answer *answer, enum chat_kind kind, const char *json,
                struct chat_failure *failure)
{
        char *copy = strdup(json);
        int r;

        assert(copy);
        r = chat_take(answer, kind, copy, strlen(copy), failure);
        free(copy);
        return r;
}

/* The content of one chunk after another, "|" after each, then what is left at the end. */
static void say_chunks(const char *const *contents, char *to)
{
        struct chat_answer answer = {};
        struct chat_failure failure;

        for (; *contents; contents++) {
                char json[512];

                (void)snprintf(json, sizeof json,
                               "{\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", *contents);
                assert(take(&answer, CHAT_CHUNK, json, &failure) == 0);
                assert(strlen(answer.text) == answer.n_text);
                to += sprintf(to, "%s|", answer.text);
        }
        (void)strcpy(to, chat_rest(&answer));
        chat_answer_done(&answer);
}

#define FFFD "\xef\xbf\xbd"
#define GRIN "\xf0\x9f\x98\x80"
#define ICON "\xee\xa8\x80" /* U+EA00: private use, as icon fonts use it */

static void test_halves(void)
{
        static const struct {
                const char *contents[6], *text;
        } rows[] = {
                { { "a", "b" }, "a|b|" },
                { { "\\ud83d\\ude00" }, GRIN "|" },
                { { "\\ud83d", "\\ude00" }, "|" GRIN "|" },
                { { "a\\uD83D", "\\uDE00b" }, "a|" GRIN "b|" },
                { { "\\ud83d", "", "\\ude00" }, "||" GRIN "|" },
                { { "\\ud83d" }, "|" FFFD },
                { { "\\ud83d", "a" }, "|" FFFD "a|" },
                { { "\\ude00" }, FFFD "|" },
                { { "\\ud83d\\ud83d\\ude00" }, FFFD GRIN "|" },
                { { "\\ud83d", "\\ud83d\\ude00" }, "|" FFFD GRIN "|" },
                { { "\\ud83dx\\ude00" }, FFFD "x" FFFD "|" },
                { { "\\\\ud83d" }, "\\ud83d|" },
                { { ICON "\\uea00" }, ICON ICON "|" },
                { { "a\\u0000b" }, "ab|" },
        };
        char text[256];

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                say_chunks(rows[i].contents, text);
                assert(strcmp(text, rows[i].text) == 0);
        }
}

static void test_whole(void)
{
        static const struct {
                const char *message, *text;
        } rows[] = {
                { "{\"content\":\"hi\"}", "hi" },
                { "{\"content\":null}", "" },
                { "{\"content\":null,\"refusal\":\"no\"}", "no" },
                { "{\"content\":null,\"tool_calls\":[{\"id\":\"x\"}]}", "" },
                { "{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"},"
                  "{\"type\":\"refusal\",\"refusal\":\"b\"},7]}",
                  "ab" },
                { "{\"content\":\"half \\ud83d\"}", "half " FFFD },
                { "{\"content\":\"a\",\"content\":\"b\"}", "b" },
                { "{\"\\u0063ontent\":\"a\"}", "a" },
                { " { \"content\" :\n\"a\" , \"x\" : [ { } , [ ] , -0.5e+3 ] } ", "a" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct chat_failure failure;
                char json[512];

                (void)snprintf(json, sizeof json,
                               "{\"model\":\"m-1\",\"system_fingerprint\":null,"
                               "\"seed\":18446744073709551616,"
                               "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1e300,"
                               "\"total_tokens\":-5},"
                               "\"choices\":[{\"message\":%s,\"finish_reason\":\"stop\"}]}",
                               rows[i].message);
                assert(take(&answer, CHAT_WHOLE, json, &failure) == 0);
                assert(strcmp(answer.text, rows[i].text) == 0);
                assert(strcmp(answer.model, "m-1") == 0);
                assert(strcmp(answer.finish_reason, "stop") == 0);
                assert(answer.has_usage && answer.prompt_tokens == 3);
                assert(answer.completion_tokens == 0 && answer.total_tokens == 0);
                chat_answer_done(&answer);
        }
}

static void test_chunks_without_text(void)
{
        static const char *const rows[] = {
                "{}",
                "{\"choices\":[]}",
                "{\"choices\":[{}]}",
                "{\"choices\":[{\"delta\":{}}]}",
                "{\"choices\":[{\"delta\":null}]}",
                "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}",
                "{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}",
                "{\"choices\":null,\"error\":null,\"usage\":{\"total_tokens\":4}}",
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct chat_failure failure;

                assert(take(&answer, CHAT_CHUNK, rows[i], &failure) == 0);
                assert(strcmp(answer.text, "") == 0);
                chat_answer_done(&answer);
        }
}

static void test_broken_answers(void)
{
        static const struct {
                enum chat_kind kind;
                const char *json;
                int32_t code;
                bool retry;
                const char *message, *detail;
        } rows[] = {
                { CHAT_CHUNK, "{\"choices\":[", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "[]", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "{\"x\":[1,]}", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "{\"x\":\"\\x\"}", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "{\"x\":01}", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_CHUNK, "{} {}", 5001, false,
                  "the API sent something that is not JSON where a chunk of the answer was due",
                  "" },
                { CHAT_WHOLE, "", 5001, false,
                  "the API sent something that is not JSON where the answer was due", "" },
                { CHAT_WHOLE, "{\"choices\":[]}", 5001, false,
                  "the API's answer has no choices[0].message", "" },
                { CHAT_CHUNK,
                  "{\"error\":{\"message\":\"Busy {1}\",\"type\":\"server_error\",\"code\":null}}",
                  5001, true, "Busy {1}", "server_error" },
                { CHAT_CHUNK, "{\"error\":{\"message\":\"Slow down\",\"code\":429}}", 5004, true,
                  "Slow down", "" },
                { CHAT_CHUNK, "{\"error\":{\"message\":\"Gone\",\"code\":\"404\"}}", 404, false,
                  "Gone", "/404" },
                { CHAT_CHUNK, "{\"error\":\"boom\"}", 5001, false, "boom", "" },
                { CHAT_ERROR, "{\"message\":\"boom\",\"type\":\"overloaded_error\"}", 4005, true,
                  "boom", "overloaded_error" },
                { CHAT_ERROR, "{}", 5001, false,
                  "the API answered with an error that it does not explain", "" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct chat_failure failure;

                assert(take(&answer, rows[i].kind, rows[i].json, &failure) == -EBADMSG);
                assert(failure.code == rows[i].code && failure.retry == rows[i].retry);
                assert(strcmp(failure.message, rows[i].message) == 0);
                assert(strcmp(failure.detail, rows[i].detail) == 0);
                chat_answer_done(&answer);
        }
}

static void test_http_errors(void)
{
        static const struct {
                long status;
                const char *body;
                int32_t code;
                bool retry;
                const char *message, *detail;
        } rows[] = {
                { 400, "{\"error\":{\"message\":\"Bad\",\"type\":\"invalid_request_error\"}}", 400,
                  false, "Bad", "HTTP 400 invalid_request_error" },
                { 401,
                  "{\"error\":{\"message\":\"Incorrect API key {x}\",\"type\":"
                  "\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
                  401, false, "Incorrect API key {x}",
                  "HTTP 401 invalid_request_error/invalid_api_key" },
                { 403, "", 403, false, "the API answered HTTP 403", "HTTP 403" },
                { 404, "404 page not found", 404, false, "404 page not found", "HTTP 404" },
                { 404, "{\"error\":{\"message\":\"No m\",\"code\":\"model_not_found\"}}", 4001,
                  false, "No m", "HTTP 404/model_not_found" },
                { 408, "", 408, true, "the API answered HTTP 408", "HTTP 408" },
                { 418, "", 400, false, "the API answered HTTP 418", "HTTP 418" },
                { 422, "{\"detail\":\"no field\"}", 422, false, "no field", "HTTP 422" },
                { 422, "{\"detail\":[1]}", 422, false, "the API answered HTTP 422", "HTTP 422" },
                { 429, "{\"error\":{\"message\":\"Pay\",\"code\":\"insufficient_quota\"}}", 5004,
                  false, "Pay", "HTTP 429/insufficient_quota" },
                { 429, "", 5004, true, "the API answered HTTP 429", "HTTP 429" },
                { 500, "<html>oops</html>", 5001, true, "the API answered HTTP 500", "HTTP 500" },
                { 500, "{\"message\":\"oops\"}", 5001, true, "oops", "HTTP 500" },
                { 502, "", 5003, true, "the API answered HTTP 502", "HTTP 502" },
                { 503, "\xff\xfe", 5003, true, "the API answered HTTP 503", "HTTP 503" },
                { 504, "", 5002, true, "the API answered HTTP 504", "HTTP 504" },
                { 529, "", 4005, true, "the API answered HTTP 529", "HTTP 529" },
                { 599, "", 5001, true, "the API answered HTTP 599", "HTTP 599" },
                { 100, "", 5001, false, "the API answered HTTP 100", "HTTP 100" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_failure failure;

                chat_fail_http(&failure, rows[i].status, rows[i].body, strlen(rows[i].body));
                assert(failure.code == rows[i].code && failure.retry == rows[i].retry);
                assert(strcmp(failure.message, rows[i].message) == 0);
                assert(strcmp(failure.detail, rows[i].detail) == 0);
        }
}

/* A long text is cut, and not within a character. */
static void test_long_error(void)
{
        struct chat_failure failure;
        char json[8192] = "{\"error\":\"", *end = json + strlen(json);

        for (size_t i = 0; i < 2000; i++)
                end = stpcpy(end, "\xe4\xbd\xa0");
        (void)strcpy(end, "\"}");
        chat_fail_http(&failure, 500, json, strlen(json));
        assert(strlen(failure.message) == (sizeof failure.message - 1) / 3 * 3);
}

/* --- memory ----------------------------------------------------------------------------- */

#define DOCUMENT_SIZE ((size_t)1 << 18)

static size_t held, peak; /* bytes that jansson has, and the most that it had */

static void *counting_malloc(size_t n)
{
        void *p = malloc(n);

        held += p ? malloc_usable_size(p) : 0;
        peak = held > peak ? held : peak;
        return p;
}

static void counting_free(void *p)
{
        held -= p ? malloc_usable_size(p) : 0;
        free(p);
}

/* head, then item as often as fits, then tail. */
static char *repeat(const char *head, const char *item, const char *tail)
{
        char *json = malloc(DOCUMENT_SIZE), *end = stpcpy(json, head);

        while (end + strlen(item) + strlen(tail) + 1 < json + DOCUMENT_SIZE)
                end = stpcpy(end, item);
        (void)strcpy(end, tail);
        return json;
}

/* Whatever a document of an API is made of, it costs a few times its size. */
static void test_memory(void)
{
        static const struct {
                const char *head, *item, *tail;
        } rows[] = {
                { "{\"x\":[0", ",[]", "]}" },
                { "{\"x\":[0", ",{}", "]}" },
                { "{\"x\":[0", ",{\"\":{\"\":0}}", "]}" },
                { "{\"x\":[0", ",\"\"", "]}" },
                { "{\"x\":[0", ",1", "]}" },
                { "{\"x\":[0", ",1e9", "]}" },
                { "{\"x\":{\"\":0", ",\"\":0", "}}" },
                { "{\"x\":0", ",\"x\":[[[[]]]]", "}" },
                { "{\"error\":[0", ",{}", "]}" },
                { "{\"error\":{\"message\":\"no\"", ",\"message\":\"no\"", "}}" },
                { "{\"error\":{\"message\":\"", "\\u00e4", "\"}}" },
                { "{\"usage\":{\"total_tokens\":1", "1", "}}" },
                { "{\"choices\":[{\"message\":{}}", ",{\"message\":{}}", "]}" },
                { "{\"choices\":[{\"message\":{\"content\":[{}", ",{}", "]}}]}" },
                { "{\"choices\":[{\"message\":{\"content\":[0", ",{\"text\":\"a\",\"text\":\"b\"}",
                  "]}}]}" },
                { "{\"choices\":[{\"message\":{\"content\":\"", "\\ud83d\\ude00", "\"}}]}" },
                { "{\"choices\":[{\"message\":{\"content\":\"", "\\ud83d", "\"}}]}" },
                { "{\"choices\":[{\"message\":{\"content\":\"", "a", "\"}}]}" },
                { "{\"choices\":[{\"message\":{\"content\":\"\"", ",\"content\":\"a\"", "}}]}" },
                { "", "[", "" },
                { "", "{\"\":", "" },
                { "{\"x\":", "[", "" },
                { "{\"x", "\\u0041", "\":0}" },
                { "{\"x\":0", ",\"\\u0078\":0", "}" },
        };

        json_set_alloc_funcs(counting_malloc, counting_free);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                for (enum chat_kind kind = CHAT_WHOLE; kind <= CHAT_ERROR; kind++) {
                        char *json = repeat(rows[i].head, rows[i].item, rows[i].tail);
                        struct chat_answer answer = {};
                        struct chat_failure failure;

                        peak = 0;
                        chat_fail_http(&failure, 500, json, strlen(json));
                        (void)chat_take(&answer, kind, json, strlen(json), &failure);
                        if (peak + answer.n_text > 4 * DOCUMENT_SIZE)
                                fprintf(stderr, "%s%s...: %zu bytes\n", rows[i].head, rows[i].item,
                                        peak);
                        assert(held == 0 && peak + answer.n_text <= 4 * DOCUMENT_SIZE);
                        chat_answer_done(&answer);
                        free(json);
                }
        json_set_alloc_funcs(malloc, free);
}

/* --- requests ------------------------------------------------------------------------- */

static void test_request(void)
{
        struct chat_options options = { .model = "m", .default_prompt = "d", .temperature = NAN };
        LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        LLMContext nameless = PROTOCOLS__GRPC__LLM__CONTEXT__INIT;
        LLMContext robot = PROTOCOLS__GRPC__LLM__CONTEXT__INIT;
        LLMContext *context[] = { &nameless, &robot };
        char *json;

        json = chat_request(&options, &request, false);
        assert(strcmp(json, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"d\"}],"
                            "\"stream\":false}") == 0);
        free(json);

        options.system_prompt = "s";
        options.include_usage = true;
        options.temperature = 0;
        nameless.content = (char *)"c1";
        robot.role = (char *)"assistant";
        robot.content = (char *)"\"c2\"\n";
        request.model_id = (char *)"m2";
        request.prompt = (char *)"p";
        request.context = context;
        request.n_context = 2;
        request.max_tokens = 7;
        json = chat_request(&options, &request, true);
        assert(strcmp(json, "{\"model\":\"m2\",\"messages\":["
                            "{\"role\":\"system\",\"content\":\"s\"},"
                            "{\"role\":\"user\",\"content\":\"c1\"},"
                            "{\"role\":\"assistant\",\"content\":\"\\\"c2\\\"\\n\"},"
                            "{\"role\":\"user\",\"content\":\"p\"}],\"stream\":true,"
                            "\"temperature\":0.0,\"max_tokens\":7,"
                            "\"stream_options\":{\"include_usage\":true}}") == 0);
        free(json);

        request.temperature = 0.7f;
        json = chat_request(&options, &request, false);
        assert(strstr(json, "\"temperature\":0.7,"));
        free(json);

        request.temperature = NAN;
        assert(!chat_request(&options, &request, false));
        request.temperature = 1;
        request.prompt = (char *)"\xff";
        assert(!chat_request(&options, &request, false));
}

int main(void)
{
        test_events();
        test_halves();
        test_whole();
        test_chunks_without_text();
        test_broken_answers();
        test_http_errors();
        test_long_error();
        test_memory();
        test_request();
        return 0;
}

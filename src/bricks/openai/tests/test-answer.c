/* SPDX-License-Identifier: MIT */

/* Event streams and the JSON in them, in pieces of every size. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "framing.h"

/* --- events --------------------------------------------------------------------------- */

static char *print_document(char *to, const struct framing *framing)
{
        return to + sprintf(to, "%s%.*s|", framing->is_error ? "!" : "", (int)framing->n_data,
                            framing->data);
}

/* "data|" for each document, "!data|" for one of an error; "<errno>" for a failure. */
static void read_pieces(const char *bytes, size_t n, size_t piece, size_t max, char *to)
{
        struct framing framing;
        int r = 0;

        *to = '\0';
        framing_init(&framing, max);
        for (size_t at = 0; r >= 0 && at < n; at += piece) {
                size_t length = n - at < piece ? n - at : piece;
                char *copy = memcpy(malloc(length), bytes + at, length);
                const char *pos = copy;

                while ((r = framing_next(&framing, &pos, copy + length)) > 0)
                        to = print_document(to, &framing);
                free(copy);
        }
        while (r >= 0 && (r = framing_last(&framing)) > 0)
                to = print_document(to, &framing);
        if (r < 0)
                (void)sprintf(to, "<%d>", -r);
        framing_done(&framing);
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
                /* JSON that is in no event */
                { "{\"a\":1}", "{\"a\":1}|" },
                { "\r\n \t{\"a\":[1,{}]}\n", "{\"a\":[1,{}]}|" },
                { "\xef\xbb\xbf{\"a\":\n\"}{\\\"\"\n}", "{\"a\":\n\"}{\\\"\"\n}|" },
                { "{}\n\ndata: [DONE]\n\n", "{}|[DONE]|" },
                { "{}{}\n[1]", "{}|{}|[1]|" },
                { ": ping\n\ndata: a\n\n{\"e\":1}\ndata: b\n\n", "a|{\"e\":1}|b|" },
                { "event: error\n{}\n\ndata: b\n\n", "!{}|b|" },
                { "{\"a\":", "{\"a\":|" },
                { "{\"a\":\"0123456789012345678901234567890123456789\"}", "<90>" },
                /* events without an empty line between them */
                { "data: {\"a\":1}\ndata: {}\ndata: [DONE]\n", "{\"a\":1}|{}|[DONE]|" },
                { "data: {}\nevent: error\ndata: {}\n", "{}|!{}|" },
                { "data: [DONE]\ndata: {}\n", "[DONE]|{}|" },
                { "data: {\"a\":\ndata: 1}\n\n", "{\"a\":\n1}|" },
                { "data: a\n{}", "a|{}|" },
                { "data: {}\n\nerror: {\"code\":500}\n\n", "{}|!{\"code\":500}|" },
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

static int take(struct chat_answer *answer, const char *json, struct failure *failure)
{
        char *copy = memcpy(malloc(strlen(json) + 1), json, strlen(json));
        int r;

        r = chat_take(answer, copy, strlen(json), failure);
        free(copy);
        return r;
}

/* The content of one chunk after another, "|" after each, then what is left at the end. */
static void say_chunks(const char *const *contents, char *to)
{
        struct chat_answer answer = {};
        struct failure failure;

        for (; *contents; contents++) {
                char json[512];

                (void)snprintf(json, sizeof json,
                               "{\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", *contents);
                assert(take(&answer, json, &failure) == 0);
                assert(strlen(answer.text.p) == answer.text.n);
                to += sprintf(to, "%s|", answer.text.p);
                text_clear(&answer.text);
        }
        assert(text_end(&answer.text) == 0);
        (void)strcpy(to, answer.text.p);
        chat_answer_done(&answer);
}

#define FFFD "\xef\xbf\xbd"
#define GRIN "\xf0\x9f\x98\x80"
#define ICON "\xee\xa8\x80" /* U+EA00: private use, as icon fonts use it */

static void test_halves(void)
{
        static const struct {
                const char *contents[5], *text;
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
                /* bytes that are no UTF-8: each beginning of a character counts once */
                { { "x\xe5y" }, "x" FFFD "y|" },
                { { "\xff\xfe" }, FFFD FFFD "|" },
                { { "a\xc0\xaf" }, "a" FFFD FFFD "|" },
                { { "\xf0\x9f\x98z" }, FFFD "z|" },
                { { "\xe4\xbd", "\xa0" }, "|\xe4\xbd\xa0|" },
                { { "\xf0\x9f", "\x98", "\x80!" }, "||" GRIN "!|" },
                { { "\xf0\x9f", "a" }, "|" FFFD "a|" },
                { { "a\xe4" }, "a|" FFFD },
                { { "\xed\xa0\xbd\xed\xb8\x80" }, GRIN "|" },
                { { "\xed\xa0\xbd\xed", "\xb8\x80" }, "|" GRIN "|" },
                { { "0123456789abcdef\t\x01 \xe4\xbd\xa0" },
                  "0123456789abcdef\t\x01 \xe4\xbd\xa0|" },
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
                { "{\"content\":\"a\"},\"message\":{\"refusal\":\"b\"}", "b" },
                { "{\"\\u0063ontent\":\"a\"}", "a" },
                { " { \"content\" :\n\"a\" , \"x\" : [ { } , [ ] , -0.5e+3 ] } ", "a" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct failure failure;
                char json[512];

                (void)snprintf(json, sizeof json,
                               "{\"model\":\"m-1\",\"system_fingerprint\":null,"
                               "\"seed\":18446744073709551616,"
                               "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1e300,"
                               "\"total_tokens\":-5},"
                               "\"choices\":[{\"message\":%s,\"finish_reason\":\"stop\"}]}",
                               rows[i].message);
                assert(take(&answer, json, &failure) == 0 && text_end(&answer.text) == 0);
                assert(strcmp(answer.text.p ? answer.text.p : "", rows[i].text) == 0);
                assert(strcmp(answer.model, "m-1") == 0);
                assert(strcmp(answer.finish_reason, "stop") == 0);
                assert(answer.has_usage && answer.prompt_tokens == 3);
                assert(answer.completion_tokens == 0 && answer.total_tokens == 0);
                chat_answer_done(&answer);
        }
}

/* What a document is, apart from its text. */
static void test_kinds(void)
{
        static const struct {
                const char *json;
                bool has_choice, is_working, is_whole;
        } rows[] = {
                { "{}", false, false, false },
                { "{\"choices\":[]}", false, false, false },
                { "{\"choices\":[{}]}", false, false, false },
                { "{\"choices\":[{\"delta\":{}}]}", true, false, false },
                { "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}", true,
                  false, false },
                { "{\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"null\"}]}", true,
                  false, false },
                { "{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}", true, true, false },
                { "{\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}", true, true, false },
                { "{\"choices\":[{\"delta\":{\"reasoning_details\":[{}]}}]}", true, true, false },
                { "{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":"
                  "[{\"text\":\"hm\"}]}]}}]}",
                  true, true, false },
                { "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}", true, true,
                  false },
                { "{\"choices\":[{\"message\":{\"content\":\"\"}}]}", true, false, true },
                { "{\"choices\":[{\"message\":{},\"finish_reason\":null}]}", true, false, false },
                { "{\"choices\":null,\"error\":null,\"usage\":{\"total_tokens\":4}}", false, false,
                  false },
                { "{\"choices\":[{\"delta\":{}}],\"error\":{},\"base_resp\":{\"status_code\":0}}",
                  true, false, false },
                { "{\"code\":0,\"message\":\"Success\",\"choices\":[{\"delta\":{}}]}", true, false,
                  false },
                { "{\"code\":200,\"message\":\"ok\"}", false, false, false },
                { "{\"choices\":[{\"delta\":{},\"logprobs\":[NaN,Infinity,-Infinity,-1.5e3]}]}",
                  true, false, false },
                { "[{\"choices\":[{\"delta\":{}}]},{\"usage\":{}}]", true, false, false },
                { "[1,\"PING\"]", false, false, false },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct failure failure;

                assert(take(&answer, rows[i].json, &failure) == 0);
                assert(answer.text.n == 0);
                assert(answer.has_choice == rows[i].has_choice);
                assert(answer.is_working == rows[i].is_working);
                assert(answer.is_whole == rows[i].is_whole);
                chat_answer_done(&answer);
        }
}

static void test_not_json(void)
{
        static const char *const rows[] = {
                "{\"choices\":[", "{\"x\":[1,]}", "{\"x\":1,}", "{\"x\":\"\\x\"}",
                "{\"x\":01}",     "{} {}",        "{\"x\" 1}",  "{\"x\":-Infinit}",
                "{\"x\":[1}",     "[{}",          "[DONE]",     "{\"x\":\"\\u12g4\"}",
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct failure failure;

                assert(take(&answer, rows[i], &failure) == -EINVAL);
                chat_answer_done(&answer);
        }
}

/* A whole message at the end of a stream repeats its text. */
static void test_repeated_message(void)
{
        struct chat_answer answer = {};
        struct failure failure;

        assert(take(&answer, "{\"choices\":[{\"delta\":{\"content\":\"ab\"}}]}", &failure) == 0);
        assert(take(&answer,
                    "{\"choices\":[{\"message\":{\"content\":\"ab\"},"
                    "\"finish_reason\":\"stop\"}]}",
                    &failure) == 0);
        assert(strcmp(answer.text.p, "ab") == 0 && strcmp(answer.finish_reason, "stop") == 0);
        chat_answer_done(&answer);
}

static void test_usage_of_a_choice(void)
{
        struct chat_answer answer = {};
        struct failure failure;

        assert(take(&answer,
                    "{\"choices\":[{\"delta\":{},\"usage\":{\"prompt_tokens\":3,"
                    "\"completion_tokens\":4,\"total_tokens\":7}}]}",
                    &failure) == 0);
        assert(answer.has_usage && answer.prompt_tokens == 3 && answer.completion_tokens == 4);
        assert(answer.total_tokens == 7);
        chat_answer_done(&answer);
}

/* --- errors ----------------------------------------------------------------------------- */

/* Errors in an answer that HTTP calls a success. */
static void test_errors_in_answers(void)
{
        static const struct {
                const char *json;
                int32_t code;
                bool retry;
                const char *message, *detail;
        } rows[] = {
                { "{\"error\":{\"message\":\"Busy {1}\",\"type\":\"server_error\",\"code\":null}}",
                  5001, true, "Busy {1}", "server_error" },
                { "{\"error\":{\"message\":\"Slow down\",\"code\":429}}", 5004, true, "Slow down",
                  "" },
                { "{\"error\":{\"message\":\"Gone\",\"code\":\"404\"}}", 404, false, "Gone",
                  "/404" },
                { "{\"error\":\"boom\"}", 5001, false, "boom", "" },
                { "{\"error\":true,\"message\":\"boom\"}", 5001, false, "boom", "" },
                { "{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"error\":{\"code\":503}}", 5003,
                  true, "the API answered with an error that it does not explain", "" },
                { "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"no\","
                  "\"http_code\":\"429\"}}",
                  5004, true, "no", "rate_limit_error" },
                { "{\"id\":\"x\",\"choices\":null,\"base_resp\":{\"status_code\":1008,"
                  "\"status_msg\":\"insufficient balance\"}}",
                  5001, false, "insufficient balance", "" },
                { "{\"choices\":[{\"delta\":{}}],\"base_resp\":{\"status_code\":1027,"
                  "\"status_msg\":\"output sensitive\"}}",
                  5001, false, "output sensitive", "" },
                { "{\"code\":\"InvalidParameter\",\"message\":\"Range\",\"request_id\":\"r\"}", 400,
                  false, "Range", "/InvalidParameter" },
                { "{\"choices\":[ ],\"code\":1305,\"msg\":\"busy\"}", 5001, false, "busy", "" },
                { "{\"code\":20012,\"message\":\"Model does not exist\",\"data\":\"\"}", 5001,
                  false, "Model does not exist", "" },
                { "{\"code\":1305,\"msg\":\"busy\"}", 5001, false, "busy", "" },
                { "{\"error_code\":336003,\"error_msg\":\"no\"}", 5001, false, "no", "" },
                { "{\"object\":\"error\",\"message\":\"too long\",\"type\":\"BadRequestError\","
                  "\"param\":null,\"code\":400}",
                  400, false, "too long", "BadRequestError" },
                { "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"No route\"}]}", 5001,
                  false, "No route", "" },
                { "{\"status\":404,\"title\":\"Not Found\"}", 404, false, "Not Found", "" },
                { "{\"status\":\"error\",\"detail\":\"no\"}", 5001, false, "no", "" },
                { "[{\"error\":{\"code\":503,\"message\":\"The model is overloaded\",\"status\":"
                  "\"UNAVAILABLE\"}}]",
                  5003, true, "The model is overloaded", "" },
                { "{\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\","
                  "\"error\":"
                  "{\"code\":502,\"message\":\"Provider returned error\"}}]}",
                  5003, true, "Provider returned error", "" },
                { "{\"error\":{\"code\":429,\"message\":\"Provider returned error\",\"metadata\":"
                  "{\"raw\":\"too many\"}}}",
                  5004, true, "Provider returned error: too many", "" },
                { "{\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}", 5001, true,
                  "the API broke off the answer: finish_reason error", "" },
                { "{\"choices\":[{\"delta\":{},\"finish_reason\":\"insufficient_system_resource\"}]"
                  "}",
                  4005, true,
                  "the API broke off the answer: finish_reason insufficient_system_resource", "" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct chat_answer answer = {};
                struct failure failure;

                assert(take(&answer, rows[i].json, &failure) == -EBADMSG);
                if (strcmp(failure.message, rows[i].message) != 0)
                        fprintf(stderr, "%s: %s\n", rows[i].json, failure.message);
                assert(strcmp(failure.message, rows[i].message) == 0);
                if (strcmp(failure.detail, rows[i].detail) != 0 || failure.code != rows[i].code)
                        fprintf(stderr, "%s: %d %s\n", rows[i].json, (int)failure.code,
                                failure.detail);
                assert(failure.code == rows[i].code && failure.retry == rows[i].retry);
                assert(strcmp(failure.detail, rows[i].detail) == 0);
                chat_answer_done(&answer);
        }
}

static void test_error_events(void)
{
        static const struct {
                const char *data;
                int32_t code;
                const char *message;
        } rows[] = {
                { "{\"message\":\"boom\",\"type\":\"overloaded_error\"}", 4005, "boom" },
                { "{}", 5001, "the API answered with an error that it does not explain" },
                { "Internal\n server error", 5001, "Internal server error" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct failure failure;

                failure_from_event(&failure, rows[i].data, strlen(rows[i].data));
                assert(failure.code == rows[i].code);
                assert(strcmp(failure.message, rows[i].message) == 0);
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
                { 422,
                  "{\"detail\":[{\"loc\":[\"body\",\"messages\",0],\"msg\":\"Field required\"},"
                  "{\"loc\":[\"body\",\"n\"],\"msg\":\"too small\"}]}",
                  422, false, "body.messages.0: Field required; body.n: too small", "HTTP 422" },
                { 422,
                  "{\"object\":\"error\",\"message\":{\"detail\":[{\"type\":\"extra_forbidden\","
                  "\"loc\":[\"body\",\"x\"],\"msg\":\"Extra inputs\"}]},\"code\":null}",
                  422, false, "body.x: Extra inputs", "HTTP 422" },
                { 400,
                  "[{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
                  "\"INVALID_ARGUMENT\"}}]",
                  400, false, "API key not valid.", "HTTP 400" },
                { 400,
                  "{\"statusCode\":400,\"message\":[\"a is bad\",\"b, too\"],\"error\":"
                  "\"Bad Request\"}",
                  400, false, "a is bad; b, too", "HTTP 400" },
                { 400, "{\"title\":\"One or more\",\"errors\":{\"message\":[\"required\"]}}", 400,
                  false, "required", "HTTP 400" },
                { 413, "{\"error\":{\"message\":\"Large\",\"code\":\"rate_limit_exceeded\"}}", 413,
                  false, "Large", "HTTP 413/rate_limit_exceeded" },
                { 401, "{\"error\":{\"message\":\"Who\",\"type\":\"server_error\"}}", 401, false,
                  "Who", "HTTP 401 server_error" },
                { 403, "{\"error\":{\"message\":\"No m\",\"code\":\"model_not_found\"}}", 4001,
                  false, "No m", "HTTP 403/model_not_found" },
                { 500, "{\"error\":{\"message\":\"Key\",\"code\":\"invalid_api_key\"}}", 401, false,
                  "Key", "HTTP 500/invalid_api_key" },
                { 429, "{\"error\":{\"message\":\"Pay\",\"code\":\"insufficient_quota\"}}", 5004,
                  false, "Pay", "HTTP 429/insufficient_quota" },
                { 429, "", 5004, true, "the API answered HTTP 429", "HTTP 429" },
                { 500, "<html>oops</html>", 5001, true, "the API answered HTTP 500", "HTTP 500" },
                { 502, "\r\n<html><head><title>502 Bad\n  Gateway</title></head></html>", 5003,
                  true, "502 Bad Gateway", "HTTP 502" },
                { 502, "<!DOCTYPE html><H1 class=x>Oops &amp; sorry</H1>", 5003, true,
                  "Oops & sorry", "HTTP 502" },
                { 403,
                  "<?xml version='1.0'?><Error><Code>X</Code><Message>No &lt;key></Message>"
                  "</Error>",
                  403, false, "No <key>", "HTTP 403" },
                { 500, "  upstream \n\n connect\terror ", 5001, true, "upstream connect error",
                  "HTTP 500" },
                { 500, "\"quoted\"", 5001, true, "\"quoted\"", "HTTP 500" },
                { 500, "{\"message\":\"oops\"}", 5001, true, "oops", "HTTP 500" },
                { 502, "", 5003, true, "the API answered HTTP 502", "HTTP 502" },
                { 503, "\xff\xfe", 5003, true, FFFD FFFD, "HTTP 503" },
                { 504, "", 5002, true, "the API answered HTTP 504", "HTTP 504" },
                { 529, "", 4005, true, "the API answered HTTP 529", "HTTP 529" },
                { 599, "", 5001, true, "the API answered HTTP 599", "HTTP 599" },
                { 100, "", 5001, false, "the API answered HTTP 100", "HTTP 100" },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct failure failure;

                failure_from_http(&failure, rows[i].status, rows[i].body, strlen(rows[i].body));
                if (strcmp(failure.message, rows[i].message) != 0)
                        fprintf(stderr, "%s: %s\n", rows[i].body, failure.message);
                assert(failure.code == rows[i].code && failure.retry == rows[i].retry);
                assert(strcmp(failure.message, rows[i].message) == 0);
                assert(strcmp(failure.detail, rows[i].detail) == 0);
        }
}

/* A long text is cut, and not within a character. */
static void test_long_error(void)
{
        struct failure failure;
        char json[8192] = "{\"error\":\"", *end = json + strlen(json);

        for (size_t i = 0; i < 2000; i++)
                end = stpcpy(end, "\xe4\xbd\xa0");
        (void)strcpy(end, "\"}");
        failure_from_http(&failure, 500, json, strlen(json));
        assert(strlen(failure.message) == (sizeof failure.message - 1) / 3 * 3);
}

/* --- memory ----------------------------------------------------------------------------- */

#define DOCUMENT_SIZE ((size_t)1 << 16)

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

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                char *json = repeat(rows[i].head, rows[i].item, rows[i].tail);
                struct chat_answer answer = {};
                struct failure failure;

                failure_from_http(&failure, 500, json, strlen(json));
                failure_from_event(&failure, json, strlen(json));
                (void)chat_take(&answer, json, strlen(json), &failure);
                assert(answer.text.size <= 4 * DOCUMENT_SIZE);
                chat_answer_done(&answer);
                free(json);
        }
}

int main(void)
{
        test_events();
        test_halves();
        test_whole();
        test_kinds();
        test_not_json();
        test_repeated_message();
        test_usage_of_a_choice();
        test_errors_in_answers();
        test_error_events();
        test_http_errors();
        test_long_error();
        test_memory();
        return 0;
}

/* SPDX-License-Identifier: MIT */

#include "chat.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* --- the request --------------------------------------------------------------------- */

static int add_message(json_t *messages, const char *role, const char *content)
{
        return json_array_append_new(messages,
                                     json_pack("{ssss}", "role", role, "content", content));
}

static json_t *build_messages(const struct chat_options *options, const LLMRequest *request)
{
        json_auto_t *messages = json_array();
        bool empty = request->prompt[0] == '\0';
        int r = 0;

        if (options->system_prompt)
                r = add_message(messages, "system", options->system_prompt);
        for (size_t i = 0; r == 0 && i < request->n_context; i++) {
                const LLMContext *item = request->context[i];

                r = add_message(messages, item->role[0] ? item->role : "user", item->content);
        }
        if (r == 0)
                r = add_message(messages, "user",
                                empty ? options->default_prompt : request->prompt);
        return r == 0 ? json_incref(messages) : NULL;
}

/* Rounds to six digits: 0.7, received as the float 0.699999988, is sent as 0.7. */
static double widen(float temperature)
{
        return round((double)temperature * 1e6) / 1e6;
}

/* 0 in the request means that it is not set: proto3 cannot tell the two apart. */
static int add_temperature(json_t *body, const struct chat_options *options, float requested)
{
        if (requested != 0)
                return json_object_set_new(body, "temperature", json_real(widen(requested)));
        if (isnan(options->temperature))
                return 0;
        return json_object_set_new(body, "temperature", json_real(options->temperature));
}

char *chat_request(const struct chat_options *options, const LLMRequest *request, bool stream)
{
        const char *model = request->model_id[0] ? request->model_id : options->model;
        json_auto_t *body = NULL;
        int r;

        body = json_pack("{ss so sb}", "model", model, "messages", build_messages(options, request),
                         "stream", stream);
        if (!body)
                return NULL;
        r = add_temperature(body, options, request->temperature);
        if (request->max_tokens > 0)
                r |= json_object_set_new(body, "max_tokens", json_integer(request->max_tokens));
        if (stream && options->include_usage)
                r |= json_object_set_new(body, "stream_options",
                                         json_pack("{sb}", "include_usage", true));
        return r == 0 ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
}

/* A positive integer. 0: the value is none. */
static int64_t to_int(struct scan number)
{
        json_auto_t *json = scan_load(number);
        double value = json_number_value(json);

        return value > 0 && value < 0x1p53 ? (int64_t)value : 0;
}

/* --- failures ------------------------------------------------------------------------ */

/* Copies a text and cuts it between two characters. */
static void copy_text(char *to, size_t size, const char *from)
{
        size_t n = strnlen(from, size - 1);

        if (from[n] != '\0')
                while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
                        n--;
        memcpy(to, from, n);
        to[n] = '\0';
}

void chat_fail(struct chat_failure *failure, int32_t code, bool retry, const char *format, ...)
{
        char message[sizeof failure->message * 2];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(message, sizeof message, format, args);
        va_end(args);
        *failure = (struct chat_failure){ .code = code, .retry = retry };
        copy_text(failure->message, sizeof failure->message, message);
        /* Parts may be from a peer, in an unknown encoding. */
        for (char *p = failure->message; *p; p++)
                if (!isprint((unsigned char)*p))
                        *p = '?';
}

/* Values of the API's `code` or `type` that are more precise than its HTTP status. */
static const struct {
        const char *word;
        int32_t code;
        bool retry;
} words[] = {
        { "insufficient_quota", CHAT_E_RATE_LIMIT, false },
        { "rate_limit_exceeded", CHAT_E_RATE_LIMIT, true },
        { "rate_limit_error", CHAT_E_RATE_LIMIT, true },
        { "model_not_found", CHAT_E_MODEL_NOT_FOUND, false },
        { "overloaded_error", CHAT_E_MODEL_OVERLOAD, true },
        { "invalid_api_key", BRICK_E_UNAUTHORIZED, false },
        { "authentication_error", BRICK_E_UNAUTHORIZED, false },
        { "permission_error", BRICK_E_FORBIDDEN, false },
        { "context_length_exceeded", BRICK_E_BAD_REQUEST, false },
        { "invalid_request_error", BRICK_E_BAD_REQUEST, false },
        { "server_error", CHAT_E_API, true },
};

static bool classify_word(struct chat_failure *failure, const char *word)
{
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
                if (strcmp(words[i].word, word) == 0) {
                        failure->code = words[i].code;
                        failure->retry = words[i].retry;
                        return true;
                }
        return false;
}

/* The HTTP statuses that are error codes of llmbrick, too; 400 for the others. */
static int32_t client_error(long status)
{
        static const uint16_t known[] = { 400, 401, 403, 404, 405, 406, 408, 409, 410, 411,
                                          412, 413, 414, 415, 416, 417, 422, 423, 424 };

        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
                if (known[i] == status)
                        return (int32_t)status;
        return BRICK_E_BAD_REQUEST;
}

static bool classify_status(struct chat_failure *failure, long status)
{
        if (status < 400 || status > 599)
                return false;
        failure->retry = status >= 500 || status == 408 || status == 429;
        switch (status) {
        case 429:
                failure->code = CHAT_E_RATE_LIMIT;
                break;
        case 502:
        case 503:
                failure->code = CHAT_E_SERVICE_UNAVAILABLE;
                break;
        case 504:
                failure->code = CHAT_E_SERVICE_TIMEOUT;
                break;
        case 529:
                failure->code = CHAT_E_MODEL_OVERLOAD;
                break;
        default:
                failure->code = status < 500 ? client_error(status) : CHAT_E_API;
        }
        return true;
}

/* False: not a string, and `to` is empty. */
static bool copy_string(char *to, size_t size, struct scan string)
{
        json_auto_t *json = scan_load(string);

        to[0] = '\0';
        if (!json_is_string(json))
                return false;
        copy_text(to, size, json_string_value(json));
        return true;
}

/*
 * The text of an error. OpenAI sends {"error": {"message": ..}}, others {"error": ".."},
 * {"message": ..} or {"detail": ".."}.
 */
static void copy_message(char *to, size_t size, struct scan root, struct scan error)
{
        (void)(copy_string(to, size, error) ||
               copy_string(to, size, scan_member(error, "message")) ||
               copy_string(to, size, scan_member(root, "message")) ||
               copy_string(to, size, scan_member(root, "detail")));
}

/* Makes a failure from the error in a document, if there is one. status: of HTTP; 0: the document
 * is part of an answer. */
static void fail_from(struct chat_failure *failure, long status, struct scan root)
{
        struct scan error = scan_member(root, "error");
        struct scan fields = scan_is_object(error) ? error : root;
        struct scan number = scan_member(fields, "code");
        char code[sizeof failure->detail], type[sizeof failure->detail], http[16] = "";
        char detail[sizeof failure->detail * 3];

        *failure = (struct chat_failure){ .code = CHAT_E_API };
        (void)copy_string(code, sizeof code, number);
        (void)copy_string(type, sizeof type, scan_member(fields, "type"));
        if (!classify_word(failure, code) && !classify_status(failure, status) &&
            !classify_status(failure, (long)to_int(number)) &&
            !classify_status(failure, strtol(code, NULL, 10)))
                (void)classify_word(failure, type);

        if (status != 0)
                (void)snprintf(http, sizeof http, "HTTP %ld", status);
        (void)snprintf(detail, sizeof detail, "%s%s%s%s%s", http, *http && *type ? " " : "", type,
                       *code ? "/" : "", code);
        copy_text(failure->detail, sizeof failure->detail, detail);
        copy_message(failure->message, sizeof failure->message, root, error);
        if (!failure->message[0])
                (void)snprintf(failure->message, sizeof failure->message, "the API answered %s",
                               *http ? http : "with an error that it does not explain");
}

void chat_fail_http(struct chat_failure *failure, long status, const char *body, size_t size)
{
        json_auto_t *line = NULL;
        struct scan root = {};

        if (body && !scan_document(body, size, &root) && size < sizeof failure->message &&
            body[0] != '<')
                line = json_stringn(body, size);
        fail_from(failure, status, root);
        /* Use a short body of plain text, but not HTML. */
        if (line && json_string_length(line) > 0)
                copy_text(failure->message, sizeof failure->message, json_string_value(line));
}

/* --- the answer ---------------------------------------------------------------------- */

static bool parse_escape(const char *p, const char *end, unsigned *ret)
{
        char hex[5] = { 0 };

        if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
                return false;
        memcpy(hex, p + 2, 4);
        if (strspn(hex, "0123456789abcdefABCDEF") != 4)
                return false;
        *ret = (unsigned)strtoul(hex, NULL, 16);
        return true;
}

static bool is_high(unsigned unit)
{
        return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(unsigned unit)
{
        return unit >= 0xdc00 && unit <= 0xdfff;
}

/*
 * When one character spans two tokens, models send each half of its surrogate pair alone. That is
 * valid JSON, but a UTF-8 string cannot hold it. So this moves each half, in its escape, to the
 * private use area: \ud83d becomes \ue83d, and add_text() moves it back. True: there are halves. In
 * a document without them, characters of the private use area are left alone.
 */
static bool hide_halves(char *json, size_t size)
{
        char *end = json + size, *p = json;
        bool found = false;

        while ((p = memchr(p, '\\', (size_t)(end - p)))) {
                unsigned unit, next;

                if (!parse_escape(p, end, &unit)) {
                        p += end - p < 2 ? 1 : 2;
                        continue;
                }
                if (is_high(unit) && parse_escape(p + 6, end, &next) && is_low(next)) {
                        p += 12;
                        continue;
                }
                if (is_high(unit) || is_low(unit)) {
                        p[2] = 'e';
                        found = true;
                }
                p += 6;
        }
        return found;
}

/* The half that hide_halves() has moved to the three bytes at p; 0: they are none. */
static unsigned hidden_half(const unsigned char *p, const unsigned char *end)
{
        if (end - p < 3 || p[0] != 0xee || p[1] < 0xa0)
                return 0;
        return 0xd800 + ((p[1] & 0x1fu) << 6) + (p[2] & 0x3fu);
}

static char *put_pair(char *to, unsigned high, unsigned low)
{
        unsigned c = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);

        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
        return to;
}

/* Copies a text and joins the halves of surrogate pairs. Returns the end of the output, which is at
 * most 3 bytes longer than the text. */
static char *copy_mending(struct chat_answer *answer, char *to, const char *text, size_t n,
                          bool halves)
{
        const unsigned char *p = (const unsigned char *)text, *end = p + n;

        while (p < end) {
                unsigned half = halves ? hidden_half(p, end) : 0;

                if (answer->high && is_low(half)) {
                        to = put_pair(to, answer->high, half);
                        answer->high = 0;
                        p += 3;
                        continue;
                }
                if (answer->high)
                        to = stpcpy(to, REPLACEMENT);
                answer->high = is_high(half) ? (uint16_t)half : 0;
                if (is_low(half))
                        to = stpcpy(to, REPLACEMENT);
                if (half) {
                        p += 3;
                        continue;
                }
                if (*p != '\0') /* a string of protobuf-c cannot hold NUL */
                        *to++ = (char)*p;
                p++;
        }
        return to;
}

static int add_bytes(struct chat_answer *answer, const char *bytes, size_t n, bool halves)
{
        char *text, *end;

        if (n == 0)
                return 0;
        text = realloc(answer->text, answer->n_text + n + strlen(REPLACEMENT) + 1);
        if (!text)
                return -ENOMEM;
        answer->text = text;
        end = copy_mending(answer, text + answer->n_text, bytes, n, halves);
        *end = '\0';
        answer->n_text = (size_t)(end - text);
        return 0;
}

/* Adds a string to the answer; ignores any other value. -EBADMSG: it is not UTF-8. */
static int add_text(struct chat_answer *answer, struct scan string, bool halves)
{
        json_auto_t *json = NULL;

        if (!scan_is_string(string))
                return 0;
        json = scan_load(string);
        if (!json)
                return -EBADMSG;
        return add_bytes(answer, json_string_value(json), json_string_length(json), halves);
}

/* At the end of an answer: replaces a half without its other half. */
static int add_rest(struct chat_answer *answer)
{
        const char *rest = chat_rest(answer);

        answer->high = 0;
        return add_bytes(answer, rest, strlen(rest), false);
}

/* Adds the content of a message: a text, or the texts in a list of parts. A refusal replaces it. */
static int add_content(struct chat_answer *answer, struct scan message, bool halves)
{
        struct scan content = scan_member(message, "content"), part;
        int r;

        r = add_text(answer, content, halves);
        for (part = scan_first(content); part.p && r == 0; part = scan_next(content, part)) {
                r = add_text(answer, scan_member(part, "text"), halves);
                if (r == 0)
                        r = add_text(answer, scan_member(part, "refusal"), halves);
        }
        return r == 0 ? add_text(answer, scan_member(message, "refusal"), halves) : r;
}

static void take_usage(struct chat_answer *answer, struct scan usage)
{
        if (!scan_is_object(usage))
                return;
        answer->has_usage = true;
        answer->prompt_tokens = to_int(scan_member(usage, "prompt_tokens"));
        answer->completion_tokens = to_int(scan_member(usage, "completion_tokens"));
        answer->total_tokens = to_int(scan_member(usage, "total_tokens"));
}

/* Sets a value, unless the chunk does not have it: then that of an earlier chunk stays. */
static void take_fact(char *to, size_t size, struct scan string)
{
        char text[128];

        if (copy_string(text, sizeof text, string) && text[0])
                copy_text(to, size, text);
}

static int not_json(enum chat_kind kind, struct chat_failure *ret_failure)
{
        chat_fail(ret_failure, CHAT_E_API, false,
                  "the API sent something that is not JSON where %s was due",
                  kind == CHAT_WHOLE ? "the answer" : "a chunk of the answer");
        return -EBADMSG;
}

static int out_of_memory(struct chat_failure *ret_failure)
{
        chat_fail(ret_failure, BRICK_E_INTERNAL, false, "out of memory");
        return -EBADMSG;
}

static int take_choice(struct chat_answer *answer, enum chat_kind kind, struct scan root,
                       bool halves, struct chat_failure *ret_failure)
{
        struct scan choice = scan_first(scan_member(root, "choices"));
        struct scan message = scan_member(choice, kind == CHAT_WHOLE ? "message" : "delta");
        int r;

        if (kind == CHAT_WHOLE && !scan_is_object(message)) {
                chat_fail(ret_failure, CHAT_E_API, false,
                          "the API's answer has no choices[0].message");
                return -EBADMSG;
        }
        take_fact(answer->model, sizeof answer->model, scan_member(root, "model"));
        take_fact(answer->finish_reason, sizeof answer->finish_reason,
                  scan_member(choice, "finish_reason"));
        take_usage(answer, scan_member(root, "usage"));
        r = add_content(answer, message, halves);
        if (r == 0 && kind == CHAT_WHOLE)
                r = add_rest(answer);
        if (r == -EBADMSG)
                return not_json(kind, ret_failure);
        return r < 0 ? out_of_memory(ret_failure) : 0;
}

/* Empties the text, which belongs to the last chunk. */
static int reset_text(struct chat_answer *answer)
{
        if (!answer->text)
                answer->text = malloc(1);
        if (!answer->text)
                return -ENOMEM;
        answer->text[0] = '\0';
        answer->n_text = 0;
        return 0;
}

int chat_take(struct chat_answer *answer, enum chat_kind kind, char *json, size_t size,
              struct chat_failure *ret_failure)
{
        bool halves = hide_halves(json, size);
        struct scan root, error;

        if (reset_text(answer) < 0)
                return out_of_memory(ret_failure);
        if (!scan_document(json, size, &root) || !scan_is_object(root))
                return not_json(kind, ret_failure);
        error = scan_member(root, "error");
        if (kind == CHAT_ERROR || (error.p && !scan_is_null(error))) {
                fail_from(ret_failure, 0, root);
                return -EBADMSG;
        }
        return take_choice(answer, kind, root, halves, ret_failure);
}

const char *chat_rest(const struct chat_answer *answer)
{
        return answer->high ? REPLACEMENT : "";
}

void chat_answer_done(struct chat_answer *answer)
{
        free(answer->text);
        *answer = (struct chat_answer){};
}

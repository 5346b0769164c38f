/* SPDX-License-Identifier: MIT */

#include "failure.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "words.h"

static void take_words(struct failure *failure, struct text *text)
{
        if (text->p && text_end(text) == 0)
                text_cut(failure->message, sizeof failure->message, text->p);
        text_done(text);
}

/* Parts of it may be from a peer, in an unknown encoding. */
void failure_set(struct failure *failure, int32_t code, bool retry, const char *format, ...)
{
        char message[sizeof failure->message * 2];
        struct text text = {};
        va_list args;

        va_start(args, format);
        (void)vsnprintf(message, sizeof message, format, args);
        va_end(args);
        *failure = (struct failure){ .code = code, .retry = retry };
        (void)text_add_bytes(&text, message, strlen(message));
        take_words(failure, &text);
        for (char *p = failure->message; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = '?';
}

/* --- classes ------------------------------------------------------------------------------- */

/* Values of the API's `code`, `type` or `status`, and reasons for which choices end. */
static const struct {
        const char *word;
        int32_t code;
        bool retry;
} words[] = {
        { "insufficient_quota", FAILURE_RATE_LIMIT, false },
        { "insufficient_user_quota", FAILURE_RATE_LIMIT, false },
        { "billing_hard_limit_reached", FAILURE_RATE_LIMIT, false },
        { "exceeded_current_quota_error", FAILURE_RATE_LIMIT, false },
        { "rate_limit_exceeded", FAILURE_RATE_LIMIT, true },
        { "rate_limit_error", FAILURE_RATE_LIMIT, true },
        { "RESOURCE_EXHAUSTED", FAILURE_RATE_LIMIT, true },
        { "Throttling", FAILURE_RATE_LIMIT, true },
        { "model_not_found", FAILURE_MODEL_NOT_FOUND, false },
        { "overloaded_error", FAILURE_MODEL_OVERLOAD, true },
        { "insufficient_system_resource", FAILURE_MODEL_OVERLOAD, true },
        { "UNAVAILABLE", FAILURE_SERVICE_UNAVAILABLE, true },
        { "DEADLINE_EXCEEDED", FAILURE_SERVICE_TIMEOUT, true },
        { "invalid_api_key", BRICK_E_UNAUTHORIZED, false },
        { "InvalidApiKey", BRICK_E_UNAUTHORIZED, false },
        { "authentication_error", BRICK_E_UNAUTHORIZED, false },
        { "UNAUTHENTICATED", BRICK_E_UNAUTHORIZED, false },
        { "permission_error", BRICK_E_FORBIDDEN, false },
        { "PERMISSION_DENIED", BRICK_E_FORBIDDEN, false },
        { "context_length_exceeded", BRICK_E_BAD_REQUEST, false },
        { "invalid_request_error", BRICK_E_BAD_REQUEST, false },
        { "invalid_parameter_error", BRICK_E_BAD_REQUEST, false },
        { "InvalidParameter", BRICK_E_BAD_REQUEST, false },
        { "INVALID_ARGUMENT", BRICK_E_BAD_REQUEST, false },
        { "server_error", FAILURE_API, true },
};

static bool classify_word(struct failure *failure, const char *word)
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

static bool classify_status(struct failure *failure, long status)
{
        if (status < 400 || status > 599)
                return false;
        failure->retry = status >= 500 || status == 408 || status == 429;
        switch (status) {
        case 429:
                failure->code = FAILURE_RATE_LIMIT;
                break;
        case 502:
        case 503:
                failure->code = FAILURE_SERVICE_UNAVAILABLE;
                break;
        case 504:
                failure->code = FAILURE_SERVICE_TIMEOUT;
                break;
        case 529:
                failure->code = FAILURE_MODEL_OVERLOAD;
                break;
        default:
                failure->code = status < 500 ? client_error(status) : FAILURE_API;
        }
        return true;
}

/* What an error calls itself. */
struct names {
        char code[160], type[160], status[64];
        long number;
};

/* A word can make the status of HTTP 4xx more precise, but does not change who is to blame, nor
 * make a request that was refused worth another try. */
static void refine_client_error(struct failure *failure, const struct names *names, long status)
{
        struct failure other = {};

        if (!classify_word(&other, names->code) && !classify_word(&other, names->type))
                return;
        if (other.code == FAILURE_MODEL_NOT_FOUND ||
            (other.code == FAILURE_RATE_LIMIT && status == 429)) {
                failure->code = other.code;
                failure->retry = other.retry;
        }
}

/* status: of HTTP; 0: the error is in an answer. */
static void classify(struct failure *failure, const struct names *names, long status)
{
        if (status >= 400 && status < 500) {
                (void)classify_status(failure, status);
                refine_client_error(failure, names, status);
                return;
        }
        (void)(classify_word(failure, names->code) || classify_status(failure, status) ||
               classify_status(failure, names->number) || classify_word(failure, names->status) ||
               classify_word(failure, names->type));
}

/* --- documents ------------------------------------------------------------------------------- */

/* A number, which may be in a string. */
static long to_number(struct scan value)
{
        char text[16];
        double number = scan_number(value);

        if (number > 0 && number < 1e6)
                return (long)number;
        return text_copy(text, sizeof text, value) ? strtol(text, NULL, 10) : 0;
}

static bool is_blank(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
                p++;
        return p == end;
}

static bool is_empty(struct scan value)
{
        size_t n = (size_t)(value.end - value.p);

        if (!value.p || *value.p == 'n' || *value.p == 'f')
                return true;
        if (*value.p == '{' || *value.p == '[')
                return is_blank(value.p + 1, value.end - 1);
        return n == 2 ? *value.p == '"' : n == 1 && *value.p == '0';
}

/* The object in a document that describes its error: the document itself, a member, or an item. */
static struct scan find_fields(struct scan value)
{
        struct scan inner = {};

        if (value.p && *value.p == '[')
                value = scan_first(value);
        if (scan_is_object(value))
                inner = scan_member(value, "error");
        return scan_is_object(inner) ? inner : value;
}

static void read_names(struct names *names, struct scan fields)
{
        static const char *const numbers[] = { "code", "status", "status_code", "http_code" };
        long number;

        (void)text_copy(names->code, sizeof names->code, scan_member(fields, "code"));
        (void)text_copy(names->type, sizeof names->type, scan_member(fields, "type"));
        (void)text_copy(names->status, sizeof names->status, scan_member(fields, "status"));
        names->number = 0;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && names->number == 0; i++) {
                number = to_number(scan_member(fields, numbers[i]));
                if (number >= 400 && number <= 599)
                        names->number = number;
        }
}

static void set_detail(struct failure *failure, const struct names *names, long status)
{
        char http[32] = "", detail[sizeof names->code + sizeof names->type + sizeof http + 4];

        if (status != 0)
                (void)snprintf(http, sizeof http, "HTTP %ld", status);
        (void)snprintf(detail, sizeof detail, "%s%s%s%s%s", http,
                       *http && names->type[0] ? " " : "", names->type, names->code[0] ? "/" : "",
                       names->code);
        text_cut(failure->detail, sizeof failure->detail, detail);
}

/* document: no value if there is none. status: of HTTP; 0: the document is a part of an answer. */
static void fail_from(struct failure *failure, long status, struct scan document)
{
        struct names names;
        struct text text = {};

        *failure = (struct failure){ .code = FAILURE_API };
        read_names(&names, find_fields(document));
        classify(failure, &names, status);
        set_detail(failure, &names, status);
        (void)words_of_json(&text, document);
        take_words(failure, &text);
        if (failure->message[0])
                return;
        if (status != 0)
                (void)snprintf(failure->message, sizeof failure->message,
                               "the API answered HTTP %ld", status);
        else
                (void)snprintf(failure->message, sizeof failure->message,
                               "the API answered with an error that it does not explain");
}

void failure_from_document(struct failure *failure, struct scan document)
{
        fail_from(failure, 0, document);
}

void failure_from_http(struct failure *failure, long status, const char *body, size_t size)
{
        struct scan document = {};
        char plain[sizeof failure->message];

        if (body && scan_document(body, size, &document)) {
                fail_from(failure, status, document);
                return;
        }
        fail_from(failure, status, (struct scan){});
        failure_words(plain, sizeof plain, body, size);
        if (plain[0])
                text_cut(failure->message, sizeof failure->message, plain);
}

void failure_from_event(struct failure *failure, const char *data, size_t size)
{
        struct scan document = {};
        char plain[sizeof failure->message];

        (void)scan_document(data, size, &document);
        fail_from(failure, 0, document);
        failure_words(plain, sizeof plain, data, size);
        if (!document.p && plain[0])
                text_cut(failure->message, sizeof failure->message, plain);
}

bool failure_from_finish(struct failure *failure, const char *reason)
{
        static const char *const reasons[] = { "error", "network_error", "abort",
                                               "insufficient_system_resource" };

        for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
                if (strcmp(reasons[i], reason) == 0) {
                        failure_set(failure, FAILURE_API, true,
                                    "the API broke off the answer: finish_reason %s", reason);
                        (void)classify_word(failure, reason);
                        return true;
                }
        return false;
}

/* A `code` of a success, such as 200, is not the code of an error. */
static bool is_error_code(struct scan code)
{
        char text[16];
        double number = scan_number(code);

        if (is_empty(code))
                return false;
        if (!isnan(number))
                return number != 0 && number != 200;
        return text_copy(text, sizeof text, code) && strcmp(text, "0") != 0 &&
               strcmp(text, "200") != 0 && strcasecmp(text, "success") != 0 &&
               strcasecmp(text, "ok") != 0;
}

static bool is_text(struct scan value, const char *text)
{
        char copy[16];

        return text_copy(copy, sizeof copy, value) && strcasecmp(copy, text) == 0;
}

bool failure_is_in(struct scan document, bool has_choices)
{
        enum { ERROR, ERRORS, BASE_RESP, OBJECT, TYPE, SUCCESS, STATUS, CODE, ERROR_CODE, FIELDS };
        static const struct scan_name names[FIELDS] = {
                [ERROR] = SCAN_NAME("error"),
                [ERRORS] = SCAN_NAME("errors"),
                [BASE_RESP] = SCAN_NAME("base_resp"),
                [OBJECT] = SCAN_NAME("object"),
                [TYPE] = SCAN_NAME("type"),
                [SUCCESS] = SCAN_NAME("success"),
                [STATUS] = SCAN_NAME("status"),
                [CODE] = SCAN_NAME("code"),
                [ERROR_CODE] = SCAN_NAME("error_code"),
        };
        struct scan fields[FIELDS];

        scan_members(document, names, FIELDS, fields);
        if (!is_empty(fields[ERROR]) || is_text(fields[OBJECT], "error") ||
            is_error_code(scan_member(fields[BASE_RESP], "status_code")))
                return true;
        if (has_choices)
                return false;
        return !is_empty(fields[ERRORS]) || is_text(fields[TYPE], "error") ||
               is_text(fields[STATUS], "error") || scan_number(fields[STATUS]) >= 400 ||
               (fields[SUCCESS].p && is_empty(fields[SUCCESS])) || is_error_code(fields[CODE]) ||
               is_error_code(fields[ERROR_CODE]);
}

void failure_words(char *to, size_t size, const char *body, size_t n)
{
        struct failure failure = {};
        struct text text = {};

        if (body)
                (void)words_of_page(&text, body, n);
        take_words(&failure, &text);
        text_cut(to, size, failure.message);
}

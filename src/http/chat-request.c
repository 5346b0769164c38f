/* SPDX-License-Identifier: MIT */
#include "http/chat-request.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/arena.h"
#include "util/cleanup.h"

#define MESSAGES_MAX 10000
#define IGNORED_MAX 256

/* What is known of a body while it is read. */
struct reading {
        struct chat_request *request;
        struct arena *arena;
        struct exchange_error *error;
        struct json_value messages; /* ptr NULL: none */
        bool has_max_completion_tokens;
        char ignored[IGNORED_MAX];
};

/* --- mistakes -----------------------------------------------------------------------------------
 */

static bool fail(struct reading *r, const char *code, const char *param, const char *message)
{
        const char *copy = param ? arena_strndup(r->arena, param, strlen(param)) : NULL;

        *r->error = (struct exchange_error){
                .status = 400,
                .message = message,
                .type = "invalid_request_error",
                .param = copy,
                .code = code,
                .would_repeat = true,
        };
        return false;
}

static bool out_of_memory(struct reading *r)
{
        *r->error = (struct exchange_error){
                .status = 413,
                .message = "The request needs more memory than one request may have.",
                .type = "invalid_request_error",
                .code = "request_too_large",
                .would_repeat = true,
        };
        return false;
}

__attribute__((format(printf, 4, 5))) static bool failf(struct reading *r, const char *code,
                                                        const char *param, const char *format, ...)
{
        char text[256];
        char *copy;
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        copy = arena_strndup(r->arena, text, strlen(text));
        return copy ? fail(r, code, param, copy) : out_of_memory(r);
}

static bool wrong_type(struct reading *r, const char *param, const char *expected,
                       struct json_value value)
{
        return failf(r, "invalid_type", param, "Expected %s for '%s', got %s.", expected, param,
                     json_value_kind_name(value));
}

/* --- values -------------------------------------------------------------------------------------
 */

static bool is_null(struct json_value value)
{
        return json_value_kind(value) == JSON_KIND_NULL;
}

/* A string without a NUL, as a message carries it. */
static bool read_string(struct reading *r, const char *param, struct json_value value, char **ret)
{
        size_t length;
        const char *text;

        if (json_value_kind(value) != JSON_KIND_STRING)
                return wrong_type(r, param, "a string", value);
        text = json_value_string(value, r->arena, &length);
        if (!text)
                return out_of_memory(r);
        if (strlen(text) != length)
                return failf(r, "invalid_value", param, "'%s' has a NUL character.", param);
        *ret = (char *)text;
        return true;
}

static bool read_bool(struct reading *r, const char *param, struct json_value value, bool *ret)
{
        enum json_kind kind = json_value_kind(value);

        if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE && kind != JSON_KIND_NULL)
                return wrong_type(r, param, "true or false", value);
        *ret = kind == JSON_KIND_TRUE;
        return true;
}

static bool is_member(struct json_value object, const char *name, struct json_value *ret)
{
        struct json_walk walk = json_begin(object);
        struct json_value key, value;
        bool found = false;

        while (json_next_member(&walk, &key, &value))
                if (json_value_is(key, name)) {
                        *ret = value; /* of duplicate keys, the last counts */
                        found = true;
                }
        return found;
}

/* --- messages -----------------------------------------------------------------------------------
 */

/* Appends a text to what there is, on a line of its own. */
static bool append(struct reading *r, char **text, const char *more)
{
        size_t n = strlen(*text), m = strlen(more);
        char *joined;

        if (n == 0) {
                *text = (char *)more;
                return true;
        }
        joined = arena_alloc(r->arena, n + m + 2, 1);
        if (!joined)
                return out_of_memory(r);
        memcpy(joined, *text, n);
        joined[n] = '\n';
        memcpy(joined + n + 1, more, m + 1);
        *text = joined;
        return true;
}

static bool read_part(struct reading *r, const char *param, struct json_value part, char **text)
{
        struct json_value type, value;
        char *more = (char *)"";

        if (json_value_kind(part) != JSON_KIND_OBJECT)
                return wrong_type(r, param, "a list of parts", part);
        if (!is_member(part, "type", &type) || json_value_kind(type) != JSON_KIND_STRING ||
            (!json_value_is(type, "text") && !json_value_is(type, "input_text") &&
             !json_value_is(type, "output_text")))
                return failf(r, "unsupported_content", param,
                             "'%s' has a part that is no text: the bricks of this server take "
                             "only text.",
                             param);
        if (!is_member(part, "text", &value))
                return failf(r, "missing_required_parameter", param, "'%s.text' is missing.",
                             param);
        return read_string(r, param, value, &more) && append(r, text, more);
}

/* A content: a string, a list of text parts, or null. */
static bool read_content(struct reading *r, const char *param, struct json_value value, char **ret)
{
        struct json_walk walk = json_begin(value);
        struct json_value part;

        *ret = (char *)"";
        switch (json_value_kind(value)) {
        case JSON_KIND_NULL:
                return true;
        case JSON_KIND_STRING:
                return read_string(r, param, value, ret);
        case JSON_KIND_LIST:
                while (json_next_item(&walk, &part))
                        if (!read_part(r, param, part, ret))
                                return false;
                return true;
        default:
                return wrong_type(r, param, "a string or a list of parts", value);
        }
}

static bool read_role(struct reading *r, const char *param, struct json_value value,
                      const char **ret)
{
        static const char *const roles[] = { "system", "developer", "user", "assistant" };

        if (json_value_kind(value) != JSON_KIND_STRING)
                return wrong_type(r, param, "a string", value);
        for (size_t i = 0; i < ELEMENTSOF(roles); i++)
                if (json_value_is(value, roles[i])) {
                        *ret = i == 1 ? roles[0] : roles[i];
                        return true;
                }
        if (json_value_is(value, "tool") || json_value_is(value, "function"))
                return failf(r, "unsupported_value", param,
                             "The bricks of this server do not call tools, so '%s' cannot be a "
                             "tool's.",
                             param);
        return failf(r, "invalid_value", param,
                     "'%s' must be one of system, developer, user, assistant.", param);
}

static bool read_message(struct reading *r, size_t index, struct json_value message,
                         LLMContext *ret)
{
        struct json_value role, content;
        const char *name;
        char param[48];

        protocols__grpc__llm__context__init(ret);
        (void)snprintf(param, sizeof param, "messages[%zu]", index);
        if (json_value_kind(message) != JSON_KIND_OBJECT)
                return failf(r, "invalid_type", "messages", "Expected an object for '%s', got %s.",
                             param, json_value_kind_name(message));
        if (!is_member(message, "role", &role))
                return failf(r, "missing_required_parameter", "messages", "'%s.role' is missing.",
                             param);
        (void)snprintf(param, sizeof param, "messages[%zu].role", index);
        if (!read_role(r, param, role, &name))
                return false;
        ret->role = (char *)name;
        (void)snprintf(param, sizeof param, "messages[%zu].content", index);
        return !is_member(message, "content", &content) ||
               read_content(r, param, content, &ret->content);
}

/* The last message, which is the user's, becomes the prompt; those before it are the context. */
static bool read_messages(struct reading *r)
{
        LLMRequest *request = &r->request->message;
        struct json_walk walk = json_begin(r->messages);
        struct json_value message;
        LLMContext *messages;
        size_t n = 0, i;

        if (!r->messages.ptr)
                return fail(r, "missing_required_parameter", "messages", "'messages' is missing.");
        if (json_value_kind(r->messages) != JSON_KIND_LIST)
                return wrong_type(r, "messages", "a list", r->messages);
        while (json_next_item(&walk, &message))
                n++;
        if (n == 0)
                return fail(r, "invalid_value", "messages", "'messages' is empty.");
        if (n > MESSAGES_MAX)
                return fail(r, "invalid_value", "messages", "There are more than 10000 messages.");
        messages = arena_alloc(r->arena, n * sizeof *messages, _Alignof(LLMContext));
        request->context = arena_alloc(r->arena, n * sizeof *request->context, sizeof(void *));
        if (!messages || !request->context)
                return out_of_memory(r);
        walk = json_begin(r->messages);
        for (i = 0; json_next_item(&walk, &message); i++) {
                if (!read_message(r, i, message, &messages[i]))
                        return false;
                request->context[i] = &messages[i];
        }
        if (strcmp(messages[n - 1].role, "user") != 0)
                return fail(r, "invalid_value", "messages", "The last message must be the user's.");
        request->prompt = messages[n - 1].content;
        request->n_context = n - 1;
        return true;
}

/* --- the other fields ---------------------------------------------------------------------------
 */

static bool read_model(struct reading *r, const char *name, struct json_value value)
{
        char *model;

        if (!read_string(r, name, value, &model))
                return false;
        r->request->model = model;
        return true;
}

static bool keep_messages(struct reading *r, const char *name, struct json_value value)
{
        r->messages = value;
        return true;
}

/* Only a literal true counts: some clients send null or a list. */
static bool read_stream(struct reading *r, const char *name, struct json_value value)
{
        return read_bool(r, name, value, &r->request->stream);
}

static bool read_stream_options(struct reading *r, const char *name, struct json_value value)
{
        struct json_value include;

        r->request->include_usage = is_member(value, "include_usage", &include) &&
                                    json_value_kind(include) == JSON_KIND_TRUE;
        return true;
}

static bool read_tokens(struct reading *r, const char *name, struct json_value value)
{
        bool wins = strcmp(name, "max_completion_tokens") == 0;
        int64_t n;

        if (is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_NUMBER)
                return wrong_type(r, name, "a whole number", value);
        if (!json_value_integer(value, &n) || n < 1 || n > INT32_MAX)
                return failf(r, "invalid_value", name, "'%s' must be a whole number from 1.", name);
        if (wins || !r->has_max_completion_tokens)
                r->request->message.max_tokens = (int32_t)n;
        r->has_max_completion_tokens = r->has_max_completion_tokens || wins;
        return true;
}

static bool read_temperature(struct reading *r, const char *name, struct json_value value)
{
        double temperature;

        if (is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_NUMBER)
                return wrong_type(r, name, "a number", value);
        temperature = json_value_number(value);
        if (!(temperature >= 0 && temperature <= 2))
                return failf(r, "invalid_value", name, "'%s' must be from 0 to 2.", name);
        r->request->message.temperature = (float)temperature;
        r->request->has_temperature = true;
        return true;
}

static bool read_user(struct reading *r, const char *name, struct json_value value)
{
        return is_null(value) || read_string(r, name, value, &r->request->message.client_id);
}

static bool add_stop(struct reading *r, const char *name, struct json_value value)
{
        char *stop;

        if (!read_string(r, name, value, &stop))
                return false;
        if (r->request->n_stops == CHAT_STOPS_MAX)
                return failf(r, "invalid_value", name, "'%s' has more than %d texts.", name,
                             CHAT_STOPS_MAX);
        if (stop[0] != '\0')
                r->request->stops[r->request->n_stops++] = stop;
        return true;
}

static bool read_stop(struct reading *r, const char *name, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        r->request->n_stops = 0;
        if (is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_LIST)
                return add_stop(r, name, value);
        while (json_next_item(&walk, &item))
                if (!add_stop(r, name, item))
                        return false;
        return true;
}

static bool refuse(struct reading *r, const char *name, const char *what)
{
        return failf(r, "unsupported_parameter", name, "'%s' is not supported: %s.", name, what);
}

static bool is_empty_list(struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        return json_value_kind(value) == JSON_KIND_LIST && !json_next_item(&walk, &item);
}

static bool check_tools(struct reading *r, const char *name, struct json_value value)
{
        return is_null(value) || is_empty_list(value) ||
               refuse(r, name, "the bricks of this server do not call tools");
}

static bool check_tool_choice(struct reading *r, const char *name, struct json_value value)
{
        return is_null(value) ||
               (json_value_kind(value) == JSON_KIND_STRING &&
                (json_value_is(value, "none") || json_value_is(value, "auto"))) ||
               refuse(r, name, "the bricks of this server do not call tools");
}

static bool check_format(struct reading *r, const char *name, struct json_value value)
{
        struct json_value type;

        return is_null(value) ||
               (is_member(value, "type", &type) && json_value_kind(type) == JSON_KIND_STRING &&
                json_value_is(type, "text")) ||
               refuse(r, name, "answers are plain text");
}

static bool check_one(struct reading *r, const char *name, struct json_value value)
{
        int64_t n;

        return is_null(value) ||
               (json_value_kind(value) == JSON_KIND_NUMBER && json_value_integer(value, &n) &&
                n == 1) ||
               refuse(r, name, "there is one answer");
}

static bool check_logprobs(struct reading *r, const char *name, struct json_value value)
{
        int64_t n;

        return is_null(value) || json_value_kind(value) == JSON_KIND_FALSE ||
               (json_value_kind(value) == JSON_KIND_NUMBER && json_value_integer(value, &n) &&
                n == 0) ||
               refuse(r, name, "probabilities of tokens are not known");
}

static bool check_modalities(struct reading *r, const char *name, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        while (json_next_item(&walk, &item))
                if (json_value_kind(item) != JSON_KIND_STRING || !json_value_is(item, "text"))
                        return refuse(r, name, "answers are text");
        return true;
}

static bool check_absent(struct reading *r, const char *name, struct json_value value)
{
        return is_null(value) || refuse(r, name, "answers are plain text");
}

static const struct {
        const char *name;
        bool (*read)(struct reading *r, const char *name, struct json_value value);
} fields[] = {
        { "model", read_model },
        { "messages", keep_messages },
        { "stream", read_stream },
        { "stream_options", read_stream_options },
        { "max_tokens", read_tokens },
        { "max_completion_tokens", read_tokens },
        { "temperature", read_temperature },
        { "user", read_user },
        { "safety_identifier", read_user },
        { "stop", read_stop },
        { "tools", check_tools },
        { "functions", check_tools },
        { "tool_choice", check_tool_choice },
        { "function_call", check_tool_choice },
        { "response_format", check_format },
        { "n", check_one },
        { "logprobs", check_logprobs },
        { "top_logprobs", check_logprobs },
        { "modalities", check_modalities },
        { "audio", check_absent },
        { "prediction", check_absent },
};

/* Names a field that is ignored, if it is a name that can stand in a header field. */
static void note_ignored(struct reading *r, struct json_value key)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        size_t n = strlen(r->ignored), length = key.length - 2;

        if (length == 0 || n + length + 3 > sizeof r->ignored)
                return;
        for (size_t i = 1; i <= length; i++)
                if (!memchr(letters, key.ptr[i], sizeof letters - 1))
                        return;
        (void)snprintf(r->ignored + n, sizeof r->ignored - n, "%s%.*s", n > 0 ? ", " : "",
                       (int)length, key.ptr + 1);
}

static bool read_field(struct reading *r, struct json_value key, struct json_value value)
{
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (json_value_is(key, fields[i].name))
                        return fields[i].read(r, fields[i].name, value);
        if (!is_null(value))
                note_ignored(r, key);
        return true;
}

bool chat_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                       struct exchange_error *ret_error)
{
        struct reading r = { .request = ret, .arena = arena, .error = ret_error };
        struct json_walk walk = json_begin(body);
        struct json_value key, value;

        memset(ret, 0, sizeof *ret);
        protocols__grpc__llm__llmrequest__init(&ret->message);
        if (json_value_kind(body) != JSON_KIND_OBJECT)
                return fail(&r, "invalid_type", NULL, "The body must be a JSON object.");
        while (json_next_member(&walk, &key, &value))
                if (!read_field(&r, key, value))
                        return false;
        if (!ret->model)
                return fail(&r, "missing_required_parameter", "model", "'model' is missing.");
        if (!read_messages(&r))
                return false;
        ret->ignored = r.ignored[0] ? arena_strndup(arena, r.ignored, strlen(r.ignored)) : NULL;
        return true;
}

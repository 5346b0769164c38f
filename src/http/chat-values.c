/* SPDX-License-Identifier: MIT */
#include "http/chat-fields.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/arena.h"
#include "util/cleanup.h"

#define MESSAGES_MAX 10000

/* --- mistakes -----------------------------------------------------------------------------------
 */

bool chat_fail(struct chat_reading *r, const char *code, const char *param, const char *message)
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

static bool out_of_memory(struct chat_reading *r)
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

bool chat_failf(struct chat_reading *r, const char *code, const char *param, const char *format,
                ...)
{
        char text[256];
        char *copy;
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        copy = arena_strndup(r->arena, text, strlen(text));
        return copy ? chat_fail(r, code, param, copy) : out_of_memory(r);
}

bool chat_wrong_type(struct chat_reading *r, const char *param, const char *expected,
                     struct json_value value)
{
        return chat_failf(r, "invalid_type", param, "Expected %s for '%s', got %s.", expected,
                          param, json_value_kind_name(value));
}

/* --- values -------------------------------------------------------------------------------------
 */

bool chat_is_null(struct json_value value)
{
        return json_value_kind(value) == JSON_KIND_NULL;
}

/* A string without a NUL, as a message carries it. */
bool chat_read_string(struct chat_reading *r, const char *param, struct json_value value,
                      char **ret)
{
        size_t length;
        const char *text;

        if (json_value_kind(value) != JSON_KIND_STRING)
                return chat_wrong_type(r, param, "a string", value);
        text = json_value_string(value, r->arena, &length);
        if (!text)
                return out_of_memory(r);
        if (strlen(text) != length)
                return chat_failf(r, "invalid_value", param, "'%s' has a NUL character.", param);
        *ret = (char *)text;
        return true;
}

bool chat_is_member(struct json_value object, const char *name, struct json_value *ret)
{
        struct json_walk walk = json_begin(object);
        struct json_value key, value;
        bool found = false;

        if (json_value_kind(object) != JSON_KIND_OBJECT)
                return false;
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
static bool append(struct chat_reading *r, char **text, const char *more)
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

static bool read_part(struct chat_reading *r, const char *param, struct json_value part,
                      char **text)
{
        struct json_value type, value;
        char *more = (char *)"";

        if (json_value_kind(part) != JSON_KIND_OBJECT)
                return chat_wrong_type(r, param, "a list of parts", part);
        if (!chat_is_member(part, "type", &type) || json_value_kind(type) != JSON_KIND_STRING ||
            (!json_value_is(type, "text") && !json_value_is(type, "input_text") &&
             !json_value_is(type, "output_text")))
                return chat_failf(r, "unsupported_content", param,
                                  "'%s' has a part that is no text: the bricks of this server take "
                                  "only text.",
                                  param);
        if (!chat_is_member(part, "text", &value))
                return chat_failf(r, "missing_required_parameter", param, "'%s.text' is missing.",
                                  param);
        return chat_read_string(r, param, value, &more) && append(r, text, more);
}

/* A content: a string, a list of text parts, or null. */
static bool read_content(struct chat_reading *r, const char *param, struct json_value value,
                         char **ret)
{
        struct json_walk walk = json_begin(value);
        struct json_value part;

        *ret = (char *)"";
        switch (json_value_kind(value)) {
        case JSON_KIND_NULL:
                return true;
        case JSON_KIND_STRING:
                return chat_read_string(r, param, value, ret);
        case JSON_KIND_LIST:
                while (json_next_item(&walk, &part))
                        if (!read_part(r, param, part, ret))
                                return false;
                return true;
        default:
                return chat_wrong_type(r, param, "a string or a list of parts", value);
        }
}

static bool read_role(struct chat_reading *r, const char *param, struct json_value value,
                      const char **ret)
{
        static const char *const roles[] = { "system", "developer", "user", "assistant" };

        if (json_value_kind(value) != JSON_KIND_STRING)
                return chat_wrong_type(r, param, "a string", value);
        for (size_t i = 0; i < ELEMENTSOF(roles); i++)
                if (json_value_is(value, roles[i])) {
                        *ret = i == 1 ? roles[0] : roles[i];
                        return true;
                }
        if (json_value_is(value, "tool") || json_value_is(value, "function"))
                return chat_failf(
                        r, "unsupported_value", param,
                        "The bricks of this server do not call tools, so '%s' cannot be a "
                        "tool's.",
                        param);
        return chat_failf(r, "invalid_value", param,
                          "'%s' must be one of system, developer, user, assistant.", param);
}

static bool read_message(struct chat_reading *r, size_t index, struct json_value message,
                         LLMContext *ret)
{
        struct json_value role, content;
        const char *name;
        char param[48];

        protocols__grpc__llm__context__init(ret);
        (void)snprintf(param, sizeof param, "%s[%zu]", r->list, index);
        if (json_value_kind(message) != JSON_KIND_OBJECT)
                return chat_failf(r, "invalid_type", r->list,
                                  "Expected an object for '%s', got %s.", param,
                                  json_value_kind_name(message));
        if (!chat_is_member(message, "role", &role))
                return chat_failf(r, "missing_required_parameter", r->list, "'%s.role' is missing.",
                                  param);
        (void)snprintf(param, sizeof param, "%s[%zu].role", r->list, index);
        if (!read_role(r, param, role, &name))
                return false;
        ret->role = (char *)name;
        (void)snprintf(param, sizeof param, "%s[%zu].content", r->list, index);
        return !chat_is_member(message, "content", &content) ||
               read_content(r, param, content, &ret->content);
}

/* Beside messages, lists have what belongs to tools. */
static bool check_type(struct chat_reading *r, size_t index, struct json_value message)
{
        struct json_value type;

        if (!r->has_types || !chat_is_member(message, "type", &type) ||
            (json_value_kind(type) == JSON_KIND_STRING && json_value_is(type, "message")))
                return true;
        return chat_failf(r, "unsupported_value", r->list,
                          "'%s[%zu]' is no message: the bricks of this server take only messages.",
                          r->list, index);
}

static bool fill_messages(struct chat_reading *r, LLMContext *messages)
{
        struct json_walk walk = json_begin(r->messages);
        struct json_value message;

        for (size_t i = 0; json_next_item(&walk, &message); i++)
                if (!check_type(r, i, message) || !read_message(r, i, message, &messages[i]))
                        return false;
        return true;
}

/* The last message, which is the user's, becomes the prompt; those before it are the context. */
static bool place_messages(struct chat_reading *r, LLMContext *messages, size_t n)
{
        LLMRequest *request = &r->request->message;

        if (strcmp(messages[n - 1].role, "user") != 0)
                return chat_fail(r, "invalid_value", r->list,
                                 "The last message must be the user's.");
        request->prompt = messages[n - 1].content;
        for (size_t i = 0; i < n - 1; i++)
                request->context[request->n_context++] = &messages[i];
        return true;
}

bool chat_put_instructions(struct chat_reading *r, size_t more)
{
        LLMRequest *request = &r->request->message;
        LLMContext *message;

        request->context = arena_alloc(r->arena, (more + 1) * sizeof *request->context,
                                       sizeof(void *));
        message = arena_alloc(r->arena, sizeof *message, _Alignof(LLMContext));
        if (!request->context || !message)
                return out_of_memory(r);
        if (!r->instructions)
                return true;
        protocols__grpc__llm__context__init(message);
        message->role = (char *)"system";
        message->content = (char *)r->instructions;
        request->context[request->n_context++] = message;
        return true;
}

bool chat_read_messages(struct chat_reading *r)
{
        struct json_walk walk = json_begin(r->messages);
        struct json_value message;
        LLMContext *messages;
        size_t n = 0;

        if (!r->messages.ptr)
                return chat_failf(r, "missing_required_parameter", r->list, "'%s' is missing.",
                                  r->list);
        if (json_value_kind(r->messages) != JSON_KIND_LIST)
                return chat_wrong_type(r, r->list, "a list", r->messages);
        while (json_next_item(&walk, &message))
                n++;
        if (n == 0)
                return chat_failf(r, "invalid_value", r->list, "'%s' is empty.", r->list);
        if (n > MESSAGES_MAX)
                return chat_fail(r, "invalid_value", r->list,
                                 "There are more than 10000 messages.");
        messages = arena_alloc(r->arena, n * sizeof *messages, _Alignof(LLMContext));
        if (!messages)
                return out_of_memory(r);
        return chat_put_instructions(r, n) && fill_messages(r, messages) &&
               place_messages(r, messages, n);
}

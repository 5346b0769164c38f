/* SPDX-License-Identifier: MIT */
#include "http/chat-fields.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/arena.h"
#include "util/cleanup.h"

/* --- the other fields ---------------------------------------------------------------------------
 */

bool chat_read_model(struct chat_reading *r, const char *name, struct json_value value)
{
        char *model;

        if (!chat_read_string(r, name, value, &model))
                return false;
        r->request->model = model;
        return true;
}

bool chat_keep_messages(struct chat_reading *r, const char *name, struct json_value value)
{
        r->messages = value;
        return true;
}

static bool read_bool(struct chat_reading *r, const char *param, struct json_value value, bool *ret)
{
        enum json_kind kind = json_value_kind(value);

        if (kind != JSON_KIND_TRUE && kind != JSON_KIND_FALSE && kind != JSON_KIND_NULL)
                return chat_wrong_type(r, param, "true or false", value);
        *ret = kind == JSON_KIND_TRUE;
        return true;
}

/* Only a literal true counts: some clients send null or a list. */
bool chat_read_stream(struct chat_reading *r, const char *name, struct json_value value)
{
        return read_bool(r, name, value, &r->request->stream);
}

bool chat_read_stream_options(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_value include;

        r->request->include_usage = chat_is_member(value, "include_usage", &include) &&
                                    json_value_kind(include) == JSON_KIND_TRUE;
        return true;
}

bool chat_read_tokens(struct chat_reading *r, const char *name, struct json_value value)
{
        bool wins = strcmp(name, "max_tokens") != 0;
        int64_t n;

        if (chat_is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_NUMBER)
                return chat_wrong_type(r, name, "a whole number", value);
        if (!json_value_integer(value, &n) || n < 1 || n > INT32_MAX)
                return chat_failf(r, "invalid_value", name, "'%s' must be a whole number from 1.",
                                  name);
        if (wins || !r->has_tokens)
                r->request->message.max_tokens = (int32_t)n;
        r->has_tokens = r->has_tokens || wins;
        return true;
}

bool chat_read_temperature(struct chat_reading *r, const char *name, struct json_value value)
{
        double temperature;

        if (chat_is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_NUMBER)
                return chat_wrong_type(r, name, "a number", value);
        temperature = json_value_number(value);
        if (!(temperature >= 0 && temperature <= 2))
                return chat_failf(r, "invalid_value", name, "'%s' must be from 0 to 2.", name);
        r->request->message.temperature = (float)temperature;
        r->request->has_temperature = true;
        return true;
}

bool chat_read_user(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) ||
               chat_read_string(r, name, value, &r->request->message.client_id);
}

static bool add_stop(struct chat_reading *r, const char *name, struct json_value value)
{
        char *stop;

        if (!chat_read_string(r, name, value, &stop))
                return false;
        if (r->request->n_stops == CHAT_STOPS_MAX)
                return chat_failf(r, "invalid_value", name, "'%s' has more than %d texts.", name,
                                  CHAT_STOPS_MAX);
        if (stop[0] != '\0')
                r->request->stops[r->request->n_stops++] = stop;
        return true;
}

bool chat_read_stop(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        r->request->n_stops = 0;
        if (chat_is_null(value))
                return true;
        if (json_value_kind(value) != JSON_KIND_LIST)
                return add_stop(r, name, value);
        while (json_next_item(&walk, &item))
                if (!add_stop(r, name, item))
                        return false;
        return true;
}

bool chat_refuse(struct chat_reading *r, const char *name, const char *what)
{
        return chat_failf(r, "unsupported_parameter", name, "'%s' is not supported: %s.", name,
                          what);
}

static bool is_empty_list(struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        return json_value_kind(value) == JSON_KIND_LIST && !json_next_item(&walk, &item);
}

bool chat_check_tools(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) || is_empty_list(value) ||
               chat_refuse(r, name, "the bricks of this server do not call tools");
}

bool chat_check_tool_choice(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) ||
               (json_value_kind(value) == JSON_KIND_STRING &&
                (json_value_is(value, "none") || json_value_is(value, "auto"))) ||
               chat_refuse(r, name, "the bricks of this server do not call tools");
}

bool chat_check_format(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_value type;

        return chat_is_null(value) ||
               (chat_is_member(value, "type", &type) && json_value_kind(type) == JSON_KIND_STRING &&
                json_value_is(type, "text")) ||
               chat_refuse(r, name, "answers are plain text");
}

bool chat_check_one(struct chat_reading *r, const char *name, struct json_value value)
{
        int64_t n;

        return chat_is_null(value) ||
               (json_value_kind(value) == JSON_KIND_NUMBER && json_value_integer(value, &n) &&
                n == 1) ||
               chat_refuse(r, name, "there is one answer");
}

bool chat_check_logprobs(struct chat_reading *r, const char *name, struct json_value value)
{
        int64_t n;

        return chat_is_null(value) || json_value_kind(value) == JSON_KIND_FALSE ||
               (json_value_kind(value) == JSON_KIND_NUMBER && json_value_integer(value, &n) &&
                n == 0) ||
               chat_refuse(r, name, "probabilities of tokens are not known");
}

/* --- all fields --------------------------------------------------------------------------------
 */

/* Names a field that is ignored, if it is a name that can stand in a header field. */
static void note_ignored(struct chat_reading *r, struct json_value key)
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

static bool read_field(struct chat_reading *r, const struct chat_field *fields,
                       struct json_value key, struct json_value value)
{
        for (size_t i = 0; fields[i].name; i++)
                if (json_value_is(key, fields[i].name))
                        return fields[i].read(r, fields[i].name, value);
        if (!chat_is_null(value))
                note_ignored(r, key);
        return true;
}

bool chat_read_fields(struct chat_reading *r, const struct chat_field *fields,
                      struct json_value body)
{
        struct json_walk walk = json_begin(body);
        struct json_value key, value;

        memset(r->request, 0, sizeof *r->request);
        protocols__grpc__llm__llmrequest__init(&r->request->message);
        if (json_value_kind(body) != JSON_KIND_OBJECT)
                return chat_fail(r, "invalid_type", NULL, "The body must be a JSON object.");
        while (json_next_member(&walk, &key, &value))
                if (!read_field(r, fields, key, value))
                        return false;
        if (!r->request->model)
                return chat_fail(r, "missing_required_parameter", "model", "'model' is missing.");
        r->request->ignored = r->ignored[0]
                                      ? arena_strndup(r->arena, r->ignored, strlen(r->ignored))
                                      : NULL;
        return true;
}

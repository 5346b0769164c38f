/* SPDX-License-Identifier: MIT */
#include "http/chat-request.h"

#include "http/chat-fields.h"

static bool check_modalities(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item;

        while (json_next_item(&walk, &item))
                if (json_value_kind(item) != JSON_KIND_STRING || !json_value_is(item, "text"))
                        return chat_refuse(r, name, "answers are text");
        return true;
}

static bool check_absent(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) || chat_refuse(r, name, "answers are plain text");
}

static const struct chat_field fields[] = {
        { "model", chat_read_model },
        { "messages", chat_keep_messages },
        { "stream", chat_read_stream },
        { "stream_options", chat_read_stream_options },
        { "max_tokens", chat_read_tokens },
        { "max_completion_tokens", chat_read_tokens },
        { "temperature", chat_read_temperature },
        { "user", chat_read_user },
        { "safety_identifier", chat_read_user },
        { "stop", chat_read_stop },
        { "tools", chat_check_tools },
        { "functions", chat_check_tools },
        { "tool_choice", chat_check_tool_choice },
        { "function_call", chat_check_tool_choice },
        { "response_format", chat_check_format },
        { "n", chat_check_one },
        { "logprobs", chat_check_logprobs },
        { "top_logprobs", chat_check_logprobs },
        { "modalities", check_modalities },
        { "audio", check_absent },
        { "prediction", check_absent },
        {},
};

bool chat_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                       struct exchange_error *ret_error)
{
        struct chat_reading r = {
                .request = ret, .arena = arena, .error = ret_error, .list = "messages"
        };

        return chat_read_fields(&r, fields, body) && chat_read_messages(&r);
}

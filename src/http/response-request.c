/* SPDX-License-Identifier: MIT */
#include "http/chat-fields.h"

/* A text, or a list of messages. */
static bool read_input(struct chat_reading *r, const char *name, struct json_value value)
{
        r->messages = value;
        return json_value_kind(value) != JSON_KIND_STRING ||
               chat_read_string(r, name, value, &r->request->message.prompt);
}

static bool read_instructions(struct chat_reading *r, const char *name, struct json_value value)
{
        char *text;

        if (chat_is_null(value))
                return true;
        if (!chat_read_string(r, name, value, &text))
                return false;
        r->instructions = text;
        return true;
}

static bool check_text(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_value format;

        return !chat_is_member(value, "format", &format) ||
               chat_check_format(r, "text.format", format);
}

static bool check_history(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) ||
               chat_refuse(r, name, "nothing of earlier requests is kept; send all messages");
}

static bool check_background(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) || json_value_kind(value) == JSON_KIND_FALSE ||
               chat_refuse(r, name, "the answer comes in the same connection");
}

static bool check_template(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) || chat_refuse(r, name, "there are no stored prompts");
}

static const struct chat_field fields[] = {
        { "model", chat_read_model },
        { "input", read_input },
        { "instructions", read_instructions },
        { "stream", chat_read_stream },
        { "max_output_tokens", chat_read_tokens },
        { "temperature", chat_read_temperature },
        { "user", chat_read_user },
        { "safety_identifier", chat_read_user },
        { "text", check_text },
        { "tools", chat_check_tools },
        { "tool_choice", chat_check_tool_choice },
        { "top_logprobs", chat_check_logprobs },
        { "previous_response_id", check_history },
        { "conversation", check_history },
        { "background", check_background },
        { "prompt", check_template },
        {},
};

bool response_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                           struct exchange_error *ret_error)
{
        struct chat_reading r = {
                .request = ret,
                .arena = arena,
                .error = ret_error,
                .list = "input",
                .has_types = true,
        };

        if (!chat_read_fields(&r, fields, body))
                return false;
        if (r.messages.ptr && json_value_kind(r.messages) == JSON_KIND_STRING)
                return chat_put_instructions(&r, 0);
        return chat_read_messages(&r);
}

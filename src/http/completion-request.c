/* SPDX-License-Identifier: MIT */
#include "http/chat-fields.h"

/* One text; clients also send it as a list of one. */
static bool read_prompt(struct chat_reading *r, const char *name, struct json_value value)
{
        struct json_walk walk = json_begin(value);
        struct json_value item, other;

        if (json_value_kind(value) == JSON_KIND_LIST) {
                if (!json_next_item(&walk, &item))
                        return chat_failf(r, "invalid_value", name, "'%s' is empty.", name);
                if (json_next_item(&walk, &other))
                        return chat_refuse(r, name, "there is one prompt in a request");
                value = item;
        }
        return chat_read_string(r, name, value, &r->request->message.prompt);
}

static bool check_echo(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) || json_value_kind(value) == JSON_KIND_FALSE ||
               chat_refuse(r, name, "the answer does not repeat the prompt");
}

static bool check_suffix(struct chat_reading *r, const char *name, struct json_value value)
{
        return chat_is_null(value) ||
               (json_value_kind(value) == JSON_KIND_STRING && json_value_is(value, "")) ||
               chat_refuse(r, name, "text is only added at the end");
}

static const struct chat_field fields[] = {
        { "model", chat_read_model },
        { "prompt", read_prompt },
        { "stream", chat_read_stream },
        { "stream_options", chat_read_stream_options },
        { "max_tokens", chat_read_tokens },
        { "temperature", chat_read_temperature },
        { "user", chat_read_user },
        { "stop", chat_read_stop },
        { "n", chat_check_one },
        { "best_of", chat_check_one },
        { "logprobs", chat_check_logprobs },
        { "echo", check_echo },
        { "suffix", check_suffix },
        {},
};

bool completion_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                             struct exchange_error *ret_error)
{
        struct chat_reading r = { .request = ret, .arena = arena, .error = ret_error };

        if (!chat_read_fields(&r, fields, body))
                return false;
        if (ret->message.prompt == protobuf_c_empty_string)
                return chat_fail(&r, "missing_required_parameter", "prompt",
                                 "'prompt' is missing.");
        return true;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the bodies of chat completions, completions and responses have in common: each has a table
 * of its fields, and a function for each of them. Functions return false when the request is
 * refused, and say why in r->error.
 */

#include <stdbool.h>
#include <stddef.h>

#include "http/chat-request.h"
#include "util/json-read.h"

struct arena;

#define CHAT_IGNORED_MAX 256

/* What is known of a body while it is read. */
struct chat_reading {
        struct chat_request *request;
        struct arena *arena;
        struct exchange_error *error;
        const char *list;           /* name of the field that has the messages */
        bool has_types;             /* items of the list may be other things than messages */
        struct json_value messages; /* ptr NULL: none */
        const char *instructions;   /* a system message before all others; NULL: none */
        bool has_tokens;            /* max_tokens does not count any more */
        char ignored[CHAT_IGNORED_MAX];
};

struct chat_field {
        const char *name;
        bool (*read)(struct chat_reading *r, const char *name, struct json_value value);
};

/* Reads the fields of a body. The table ends with a NULL name. */
bool chat_read_fields(struct chat_reading *r, const struct chat_field *fields,
                      struct json_value body);

/* Afterwards: makes the context and the prompt of r->messages and r->instructions. */
bool chat_read_messages(struct chat_reading *r);

/* Instead, if the prompt is known: makes a context of the instructions, with room for more. */
bool chat_put_instructions(struct chat_reading *r, size_t more);

/* --- refusals; they return false ----------------------------------------------------------------
 */

bool chat_fail(struct chat_reading *r, const char *code, const char *param, const char *message);
__attribute__((format(printf, 4, 5))) bool chat_failf(struct chat_reading *r, const char *code,
                                                      const char *param, const char *format, ...);
bool chat_wrong_type(struct chat_reading *r, const char *param, const char *expected,
                     struct json_value value);

/* what: a sentence about why brickd does not take this field. */
bool chat_refuse(struct chat_reading *r, const char *name, const char *what);

/* --- values -------------------------------------------------------------------------------------
 */

bool chat_is_null(struct json_value value);
bool chat_is_member(struct json_value object, const char *name, struct json_value *ret);

/* A string without a NUL, as a message carries it. */
bool chat_read_string(struct chat_reading *r, const char *param, struct json_value value,
                      char **ret);

/* --- fields -------------------------------------------------------------------------------------
 */

bool chat_read_model(struct chat_reading *r, const char *name, struct json_value value);
bool chat_keep_messages(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_stream(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_stream_options(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_tokens(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_temperature(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_user(struct chat_reading *r, const char *name, struct json_value value);
bool chat_read_stop(struct chat_reading *r, const char *name, struct json_value value);
bool chat_check_tools(struct chat_reading *r, const char *name, struct json_value value);
bool chat_check_tool_choice(struct chat_reading *r, const char *name, struct json_value value);
bool chat_check_format(struct chat_reading *r, const char *name, struct json_value value);
bool chat_check_one(struct chat_reading *r, const char *name, struct json_value value);
bool chat_check_logprobs(struct chat_reading *r, const char *name, struct json_value value);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads requests to llmbrick's SSE server as that server does: its schema with the conversions of
 * pydantic, and its rules for conversations, with its words, because its clients read them.
 */

#include <stdbool.h>

#include "http/llm.h"
#include "util/json-read.h"
#include "util/json-write.h"

struct arena;

/* Whether a body is for that server: it has a session. */
bool sse_request_is(struct json_value body);

/*
 * Checks the schema and fills the request, whose strings are in the arena; `errors` is empty.
 * False: `errors` is the JSON list of what is wrong, or has failed.
 */
bool sse_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                      struct json_text *errors);

/* Checks the conversation, which is the context of the request. False: `why` says what is wrong. */
bool sse_request_check(struct chat_request *request, struct json_text *why);

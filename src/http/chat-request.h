/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads the body of a chat completion, in the form of OpenAI's API, as a request to an LLM brick.
 * What brickd cannot do is refused by name, because clients otherwise wait for what never comes;
 * what only asks for another flavour of the answer is ignored, and named.
 */

#include <stdbool.h>
#include <stddef.h>

#include "http/exchange.h"
#include "llm.pb-c.h"
#include "util/json-read.h"

struct arena;

#define CHAT_STOPS_MAX 4

typedef Protocols__Grpc__Llm__LLMRequest LLMRequest;
typedef Protocols__Grpc__Llm__Context LLMContext;

struct chat_request {
        LLMRequest message; /* its strings and messages are in the arena */
        const char *model;
        const char *ignored; /* "seed, top_p"; NULL: nothing was ignored */
        bool stream;
        bool include_usage;
        bool has_temperature; /* an explicit 0 looks like none in the message */
        const char *stops[CHAT_STOPS_MAX];
        size_t n_stops;
};

/*
 * The bodies of chat completions, of completions and of responses. False: *ret_error says why; its
 * texts are constants, or in the arena.
 */
bool chat_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                       struct exchange_error *ret_error);
bool completion_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                             struct exchange_error *ret_error);
bool response_request_read(struct chat_request *ret, struct json_value body, struct arena *arena,
                           struct exchange_error *ret_error);

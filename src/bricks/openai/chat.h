/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The JSON of OpenAI's chat completions: requests, whole answers, chunks of a stream, and errors.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick-sdk.h"

struct chat_options {
        const char *model;
        const char *default_prompt;
        const char *system_prompt; /* NULL: none */
        double temperature;        /* default of requests; NAN: the model's own */
        bool include_usage;        /* request it for streams */
};

/* Error codes of llmbrick that the SDK does not name. */
enum {
        CHAT_E_MODEL_NOT_FOUND = 4001,
        CHAT_E_MODEL_TIMEOUT = 4004,
        CHAT_E_MODEL_OVERLOAD = 4005,
        CHAT_E_API = 5001,
        CHAT_E_SERVICE_TIMEOUT = 5002,
        CHAT_E_SERVICE_UNAVAILABLE = 5003,
        CHAT_E_RATE_LIMIT = 5004,
        CHAT_E_RESOURCE_EXHAUSTED = 6002,
        CHAT_E_CONNECTION = 7001,
        CHAT_E_DNS = 7003,
        CHAT_E_TLS = 7004,
};

/* The error of a call, with a code of llmbrick. */
struct chat_failure {
        int32_t code;
        bool retry; /* the same request may succeed later */
        char message[1024];
        char detail[160];
};

/* An answer so far. Zero-initialize it for a new answer. */
struct chat_answer {
        char *text; /* from the last chat_take(): UTF-8, never NULL after it */
        size_t n_text;

        /* For the trailing metadata. */
        char model[128];
        char finish_reason[64];
        bool has_usage;
        int64_t prompt_tokens, completion_tokens, total_tokens;

        uint16_t high; /* the first half of a surrogate pair; 0: none */
};

enum chat_kind {
        CHAT_WHOLE, /* the answer to a request without `stream` */
        CHAT_CHUNK, /* one event of a stream */
        CHAT_ERROR, /* one event of a stream, with the name `error` */
};

/* Makes the body of the request, for free(). NULL: out of memory, or a value that JSON cannot
 * represent. */
char *chat_request(const struct chat_options *options, const LLMRequest *request, bool stream);

/* Reads one JSON document, which it modifies. 0, or -EBADMSG and a failure. */
int chat_take(struct chat_answer *answer, enum chat_kind kind, char *json, size_t size,
              struct chat_failure *ret_failure);

/* At the end of a stream: the text that chat_take() kept back, or "". */
const char *chat_rest(const struct chat_answer *answer);

void chat_answer_done(struct chat_answer *answer);

BRICK_PRINTF(4, 5)
void chat_fail(struct chat_failure *failure, int32_t code, bool retry, const char *format, ...);

/* Makes a failure from an HTTP status other than 2xx and its body. */
void chat_fail_http(struct chat_failure *failure, long status, const char *body, size_t size);

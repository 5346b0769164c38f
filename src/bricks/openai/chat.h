/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The JSON of OpenAI's chat completions: the request, and what comes back: a whole answer, the
 * chunks of a stream, errors.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick-sdk.h"

struct chat_options {
        const char *model;
        const char *default_prompt;
        const char *system_prompt; /* NULL: none */
        double temperature;        /* for requests without one; NAN: leave it to the model */
        bool include_usage;        /* ask for it in streams */
};

/* llmbrick's error numbers that the SDK does not name. */
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

/* Why a call failed, in llmbrick's terms. */
struct chat_failure {
        int32_t code;
        bool retry; /* the same request may succeed in a while */
        char message[1024];
        char detail[160];
};

/* What has been said so far. Zero-initialised at the start of an answer. */
struct chat_answer {
        char *text; /* of the last chat_take(): UTF-8, NUL-terminated, never NULL after it */
        size_t n_text;

        /* For the trailing metadata. */
        char model[128];
        char finish_reason[64];
        bool has_usage;
        int64_t prompt_tokens, completion_tokens, total_tokens;

        uint16_t high; /* the first half of a surrogate pair whose second is still to come */
};

enum chat_kind {
        CHAT_WHOLE, /* the answer to a request without `stream` */
        CHAT_CHUNK, /* one event of a stream */
        CHAT_ERROR, /* one event of a stream, called an error */
};

/* The body of the request, malloc'd. NULL: out of memory, or something that JSON cannot say. */
char *chat_request(const struct chat_options *options, const LLMRequest *request, bool stream);

/* Takes one JSON document, which it writes to. 0, or -EBADMSG and a failure. */
int chat_take(struct chat_answer *answer, enum chat_kind kind, char *json, size_t size,
              struct chat_failure *ret_failure);

/* The stream has ended: what chat_take() held back, "" if nothing. */
const char *chat_rest(const struct chat_answer *answer);

void chat_answer_done(struct chat_answer *answer);

BRICK_PRINTF(4, 5)
void chat_fail(struct chat_failure *failure, int32_t code, bool retry, const char *format, ...);

/* The failure that an HTTP status other than 2xx and its body tell of. */
void chat_fail_http(struct chat_failure *failure, long status, const char *body, size_t size);

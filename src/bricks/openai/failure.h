/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The error of a call: its code of llmbrick, and what the API says of it. APIs put errors into JSON
 * of many forms, into HTML and into plain text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick-sdk.h"
#include "scan.h"

/* Error codes of llmbrick that the SDK does not name. */
enum {
        FAILURE_MODEL_NOT_FOUND = 4001,
        FAILURE_MODEL_TIMEOUT = 4004,
        FAILURE_MODEL_OVERLOAD = 4005,
        FAILURE_API = 5001,
        FAILURE_SERVICE_TIMEOUT = 5002,
        FAILURE_SERVICE_UNAVAILABLE = 5003,
        FAILURE_RATE_LIMIT = 5004,
        FAILURE_RESOURCE_EXHAUSTED = 6002,
        FAILURE_CONNECTION = 7001,
        FAILURE_DNS = 7003,
        FAILURE_TLS = 7004,
};

struct failure {
        int32_t code;
        bool retry; /* the same request may succeed later */
        char message[1024];
        char detail[160];
};

/* All functions replace what was there. */

BRICK_PRINTF(4, 5)
void failure_set(struct failure *failure, int32_t code, bool retry, const char *format, ...);

/* From an HTTP status other than 2xx and its body, which may be of any kind. */
void failure_from_http(struct failure *failure, long status, const char *body, size_t size);

/* From a document that is an error. */
void failure_from_document(struct failure *failure, struct scan document);

/* From what an event with the name `error` holds: a document or text. */
void failure_from_event(struct failure *failure, const char *data, size_t size);

/* From the reason for which a choice has ended. False: it is no failure. */
bool failure_from_finish(struct failure *failure, const char *reason);

/* Whether a document that is a part of an answer is an error. has_choices: there is at least one.
 */
bool failure_is_in(struct scan document, bool has_choices);

/* What was sent instead of an answer, or "". The first bytes of it are enough. */
void failure_words(char *to, size_t size, const char *body, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The body of a request for a chat completion. */

#include <stdbool.h>

#include "brick-sdk.h"

/* A field that the options add to every request. */
struct request_field {
        char *name;
        char *json; /* its value */
};

enum request_limit { /* the name of the field for LLMRequest.max_tokens */
                     REQUEST_MAX_TOKENS,
                     REQUEST_MAX_COMPLETION_TOKENS,
};

struct request_options {
        char *model;
        char *default_prompt;
        char *system_prompt; /* NULL: none */
        double temperature;  /* default of requests; NAN: the model's own */
        bool include_usage;  /* ask for it in streams */
        struct request_field *fields;
        size_t n_fields;
};

struct request {
        char *json; /* for free() */
        size_t n;
        size_t limit_at; /* where the field of the limit begins, which is the last; 0: it is not
                            sent */
        int32_t max_tokens;
        enum request_limit limit;
};

/*
 * temperature: what the metadata says of it, which can say 0; NAN: nothing. 0; -EINVAL: JSON cannot
 * represent the request; -ENODATA: it has neither a prompt nor a context; -ENOMEM.
 */
int request_make(struct request *ret, const struct request_options *options,
                 const LLMRequest *request, bool stream, double temperature,
                 enum request_limit limit);

/* Renames the field of the limit. */
void request_set_limit(struct request *request, enum request_limit limit);

/* The names of fields that the options may not add. */
bool request_is_reserved(const char *name);

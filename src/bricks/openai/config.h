/* SPDX-License-Identifier: MIT */
#pragma once

/* The checked options of an instance. Immutable once created. See README.md for their meaning. */

#include "chat.h"

struct curl_slist;

struct config {
        struct brick_ctx *ctx;
        struct chat_options chat;
        char *url; /* of the chat completions */
        char *api_key;
        char *proxy; /* NULL: as the environment says; "": none */
        char *ca_file;
        struct curl_slist *headers; /* those of every request */
        char **models;              /* NULL-terminated; the default model is first */

        uint64_t timeout; /* microseconds; UINT64_MAX: none */
        uint64_t connect_timeout, first_token_timeout, idle_timeout;
        uint64_t retry_min, retry_max;
        unsigned retries;
        unsigned max_connections;
        size_t max_reply;
};

extern const struct brick_option config_options[];

/* Reports a mistake at its option. */
int config_new(struct config **ret, struct brick_ctx *ctx, const struct brick_node *node);
struct config *config_free(struct config *config);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The checked options of an instance. Immutable once created. See README.md for their meaning. */

#include <curl/curl.h>
#include <stdbool.h>

#include "request.h"

struct config {
        struct brick_ctx *ctx;
        struct request_options request;
        bool knows_limit; /* the name of max_tokens is given */
        enum request_limit limit;
        CURLU *url;  /* of the chat completions */
        char *proxy; /* NULL: as the environment says; "": none */
        char *ca_file;
        struct curl_slist *headers; /* those of every request */
        char **secrets;             /* that must not be told to clients */
        size_t n_secrets;
        char **models; /* NULL-terminated; the default model is first */

        uint64_t timeout; /* microseconds; UINT64_MAX: none */
        uint64_t connect_timeout, first_token, stall;
        uint64_t retry_min, retry_max;
        unsigned retries;
        unsigned max_connections;
        size_t max_reply;
};

extern const struct brick_option config_options[];

#define CONFIG_BASE_URL "https://api.openai.com/v1"

/* Reports a mistake at its option. */
int config_new(struct config **ret, struct brick_ctx *ctx, const struct brick_node *node);
struct config *config_free(struct config *config);

/* --- for the files that read options; node: the map of all options ------------------------------
 */

const struct brick_node *config_option(const struct brick_node *node, const char *name);

/* NULL: the option is missing. */
const char *config_string(const struct brick_node *option);

/* Blames a node. Returns -EINVAL. */
int config_refuse(struct config *config, const struct brick_node *node, const char *why);

/* headers.c: the headers of every request, and the secrets in them. */
int config_read_headers(struct config *config, const struct brick_node *node);

/* address.c: where requests go. After the headers: it warns if their secrets would not be safe. */
int config_read_address(struct config *config, const struct brick_node *node);

/* fields.c: what the option `body` adds to every request. */
int config_read_fields(struct config *config, const struct brick_node *node);

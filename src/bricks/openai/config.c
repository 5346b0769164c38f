/* SPDX-License-Identifier: MIT */

#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define KIB INT64_C(1024)
#define GIB (KIB * KIB * KIB)

const struct brick_option config_options[] = {
        { .name = "base_url",
          .type = BRICK_STRING,
          .fallback = CONFIG_BASE_URL,
          .summary = "URL of the API, without /chat/completions" },
        { .name = "query", .type = BRICK_MAP, .summary = "parameters that are added to the URL" },
        { .name = "api_key",
          .type = BRICK_SECRET,
          .summary = "API key, sent as a bearer token; default for OpenAI's own API: "
                     "$OPENAI_API_KEY" },
        { .name = "model",
          .type = BRICK_STRING,
          .flags = BRICK_OPTION_REQUIRED,
          .summary = "model for requests without model_id" },
        { .name = "models", .type = BRICK_LIST, .summary = "further models for GetServiceInfo" },
        { .name = "default_prompt",
          .type = BRICK_STRING,
          .fallback = "",
          .summary = "replaces an empty prompt" },
        { .name = "system_prompt", .type = BRICK_STRING, .summary = "goes before every context" },
        { .name = "temperature",
          .type = BRICK_FLOAT,
          .max = 2,
          .summary = "temperature for requests without one; default: that of the model" },
        { .name = "include_usage",
          .type = BRICK_BOOL,
          .fallback = "true",
          .summary = "request the token counts of streams (stream_options)" },
        { .name = "max_tokens_field",
          .type = BRICK_ENUM,
          .choices = "max_tokens|max_completion_tokens",
          .summary =
                  "name under which max_tokens is sent; default: max_tokens, or the other if the "
                  "API refuses it" },
        { .name = "body",
          .type = BRICK_MAP,
          .summary = "further fields of every request, for example enable_thinking" },
        { .name = "headers",
          .type = BRICK_MAP,
          .summary = "further headers of every request; a value is a text or a secret" },
        { .name = "organization", .type = BRICK_STRING, .summary = "sent as OpenAI-Organization" },
        { .name = "project", .type = BRICK_STRING, .summary = "sent as OpenAI-Project" },
        { .name = "timeout",
          .type = BRICK_DURATION,
          .fallback = "10m",
          .min = MS,
          .max = 86400 * SECOND,
          .summary = "time limit of the whole answer, with all attempts" },
        { .name = "connect_timeout",
          .type = BRICK_DURATION,
          .fallback = "10s",
          .min = MS,
          .max = 300 * SECOND,
          .summary = "time limit of one attempt to connect" },
        { .name = "first_token",
          .type = BRICK_DURATION,
          .max = 86400 * SECOND,
          .summary = "time limit for the first sign of work of a stream; default: 5m; 0s: none" },
        { .name = "stall",
          .type = BRICK_DURATION,
          .max = 86400 * SECOND,
          .summary = "time limit for further bytes of a stream; default: 1m; 0s: none" },
        { .name = "first_token_timeout",
          .type = BRICK_DURATION,
          .max = 86400 * SECOND,
          .summary = "former name of first_token" },
        { .name = "idle_timeout",
          .type = BRICK_DURATION,
          .max = 86400 * SECOND,
          .summary = "former name of stall" },
        { .name = "retries",
          .type = BRICK_INT,
          .fallback = "2",
          .max = 20,
          .summary = "number of retries if the API is busy or cannot be reached" },
        { .name = "retry_min",
          .type = BRICK_DURATION,
          .fallback = "500ms",
          .min = MS,
          .max = 3600 * SECOND,
          .summary = "delay before the first retry; doubles with each retry" },
        { .name = "retry_max",
          .type = BRICK_DURATION,
          .fallback = "8s",
          .min = MS,
          .max = 3600 * SECOND,
          .summary = "longest delay before a retry" },
        { .name = "proxy",
          .type = BRICK_STRING,
          .summary =
                  "URL of a proxy; \"\": none; default: $https_proxy, $http_proxy and $no_proxy" },
        { .name = "ca_file",
          .type = BRICK_PATH,
          .summary = "PEM file of authorities to trust instead of those of the system" },
        { .name = "max_connections",
          .type = BRICK_INT,
          .fallback = "1024",
          .min = 1,
          .max = 65536,
          .summary = "concurrent connections to the API" },
        { .name = "max_reply",
          .type = BRICK_SIZE,
          .fallback = "8MiB",
          .min = KIB,
          .max = GIB,
          .summary = "largest answer, or event of a stream" },
        {},
};

/* --- one option ---------------------------------------------------------------------- */

const struct brick_node *config_option(const struct brick_node *node, const char *name)
{
        return brick_host->node_get(node, name);
}

const char *config_string(const struct brick_node *option)
{
        return brick_host->node_type(option) == 0 ? NULL : brick_host->node_str(option).ptr;
}

int config_refuse(struct config *config, const struct brick_node *node, const char *why)
{
        brick_node_errorf(brick_host, config->ctx, node, "%s", why);
        return -EINVAL;
}

/* Leaves *ret alone if the option is missing. */
static int copy_option(char **ret, const struct brick_node *node, const char *name)
{
        const char *value = config_string(config_option(node, name));

        if (!value)
                return 0;
        *ret = strdup(value);
        return *ret ? 0 : -ENOMEM;
}

/* Converts nanoseconds to microseconds. 0 means no limit. */
static uint64_t duration(const struct brick_node *node, const char *name)
{
        uint64_t value = (uint64_t)brick_host->node_int(config_option(node, name)) / 1000;

        return value == 0 ? UINT64_MAX : value;
}

/* A line of the log, with the place as a mistake has it. */
static void warn_of_former(const struct config *config, const struct brick_node *old,
                           const char *name, const char *former)
{
        struct brick_str file = brick_str("");
        uint32_t line = 0, column = 0;

        if (!BRICK_HAS(brick_host, node_place))
                return;
        brick_host->node_place(old, &file, &line, &column);
        brick_logf(brick_host, config->ctx, BRICK_LOG_WARNING,
                   "%.*s:%u:%u: %s is the former name of %s, and still works", (int)file.len,
                   file.ptr, (unsigned)line, (unsigned)column, former, name);
}

/* Of an option that has a former name. */
static int read_renamed(struct config *config, const struct brick_node *node, const char *name,
                        const char *former, uint64_t fallback, uint64_t *ret)
{
        const struct brick_node *given = config_option(node, name);
        const struct brick_node *old = config_option(node, former);

        if (given && old) {
                brick_node_errorf(brick_host, config->ctx, old,
                                  "is the former name of %s: give one", name);
                return -EINVAL;
        }
        if (old)
                warn_of_former(config, old, name, former);
        *ret = given || old ? duration(node, old ? former : name) : fallback;
        return 0;
}

/* --- the rest ------------------------------------------------------------------------ */

/* The default model comes first, and only once. */
static int read_models(struct config *config, const struct brick_node *node)
{
        const struct brick_node *list = config_option(node, "models");
        size_t n = brick_host->node_size(list);
        char **next;

        next = config->models = calloc(n + 2, sizeof *config->models);
        if (!next || !(*next++ = strdup(config->request.model)))
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const struct brick_node *item = brick_host->node_at(list, i);

                if (brick_host->node_type(item) != BRICK_STRING)
                        return config_refuse(config, item, "expected the name of a model");
                if (strcmp(config_string(item), config->request.model) == 0)
                        continue;
                *next = strdup(config_string(item));
                if (!*next++)
                        return -ENOMEM;
        }
        return 0;
}

static int read_strings(struct config *config, const struct brick_node *node)
{
        struct request_options *request = &config->request;
        int r;

        r = copy_option(&request->model, node, "model");
        if (r == 0)
                r = copy_option(&request->default_prompt, node, "default_prompt");
        if (r == 0)
                r = copy_option(&request->system_prompt, node, "system_prompt");
        if (r == 0)
                r = copy_option(&config->proxy, node, "proxy");
        if (r == 0)
                r = copy_option(&config->ca_file, node, "ca_file");
        if (r < 0)
                return r;
        if (!*request->model)
                return config_refuse(config, config_option(node, "model"),
                                     "the name of a model is missing");
        if (config->ca_file && access(config->ca_file, R_OK) < 0)
                return config_refuse(config, config_option(node, "ca_file"), strerror(errno));
        return 0;
}

static int read_numbers(struct config *config, const struct brick_node *node)
{
        const struct brick_node *temperature = config_option(node, "temperature");
        const char *limit = config_string(config_option(node, "max_tokens_field"));
        int r;

        config->knows_limit = limit;
        if (limit && strcmp(limit, "max_completion_tokens") == 0)
                config->limit = REQUEST_MAX_COMPLETION_TOKENS;
        config->request.temperature = temperature ? brick_host->node_float(temperature) : NAN;
        config->request.include_usage = brick_host->node_int(config_option(node, "include_usage"));
        config->timeout = duration(node, "timeout");
        config->connect_timeout = duration(node, "connect_timeout");
        config->retry_min = duration(node, "retry_min");
        config->retry_max = duration(node, "retry_max");
        config->retries = (unsigned)brick_host->node_int(config_option(node, "retries"));
        config->max_connections = (unsigned)brick_host->node_int(
                config_option(node, "max_connections"));
        config->max_reply = (size_t)brick_host->node_int(config_option(node, "max_reply"));
        if (config->retry_min > config->retry_max)
                return config_refuse(config, config_option(node, "retry_min"),
                                     "must not be greater than retry_max");
        r = read_renamed(config, node, "first_token", "first_token_timeout", 300 * SECOND / 1000,
                         &config->first_token);
        if (r == 0)
                r = read_renamed(config, node, "stall", "idle_timeout", 60 * SECOND / 1000,
                                 &config->stall);
        return r;
}

int config_new(struct config **ret, struct brick_ctx *ctx, const struct brick_node *node)
{
        struct config *config;
        int r;

        config = calloc(1, sizeof *config);
        if (!config)
                return -ENOMEM;
        config->ctx = ctx;
        r = read_strings(config, node);
        if (r == 0)
                r = read_numbers(config, node);
        if (r == 0)
                r = read_models(config, node);
        if (r == 0)
                r = config_read_fields(config, node);
        if (r == 0)
                r = config_read_headers(config, node);
        if (r == 0)
                r = config_read_address(config, node);
        if (r < 0) {
                (void)config_free(config);
                return r;
        }
        *ret = config;
        return 0;
}

static void free_secret(char *secret)
{
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; config->models && config->models[i]; i++)
                free(config->models[i]);
        free(config->models);
        free(config->request.model);
        free(config->request.default_prompt);
        free(config->request.system_prompt);
        curl_slist_free_all(config->headers);
        free(config->ca_file);
        free(config->proxy);
        for (size_t i = 0; i < config->n_secrets; i++)
                free_secret(config->secrets[i]);
        free(config->secrets);
        for (size_t i = 0; i < config->request.n_fields; i++) {
                free(config->request.fields[i].name);
                free(config->request.fields[i].json);
        }
        free(config->request.fields);
        curl_url_cleanup(config->url);
        free(config);
        return NULL;
}

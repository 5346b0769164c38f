/* SPDX-License-Identifier: MIT */

#include "config.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEFAULT_BASE_URL "https://api.openai.com/v1"

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define KIB INT64_C(1024)
#define GIB (KIB * KIB * KIB)

const struct brick_option config_options[] = {
        { .name = "base_url",
          .type = BRICK_STRING,
          .fallback = DEFAULT_BASE_URL,
          .summary = "URL of the API, without /chat/completions" },
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
        { .name = "first_token_timeout",
          .type = BRICK_DURATION,
          .fallback = "5m",
          .max = 86400 * SECOND,
          .summary = "time limit for the first text of a stream; 0s: none" },
        { .name = "idle_timeout",
          .type = BRICK_DURATION,
          .fallback = "1m",
          .max = 86400 * SECOND,
          .summary = "time limit for further bytes of a stream; 0s: none" },
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

static const struct brick_node *option(const struct brick_node *node, const char *name)
{
        return brick_host->node_get(node, name);
}

static const char *string_of(const struct brick_node *node)
{
        return brick_host->node_type(node) == 0 ? NULL : brick_host->node_str(node).ptr;
}

/* Leaves *ret alone if the option is missing. */
static int copy_option(char **ret, const struct brick_node *node, const char *name)
{
        const char *value = string_of(option(node, name));

        if (!value)
                return 0;
        *ret = strdup(value);
        return *ret ? 0 : -ENOMEM;
}

/* Converts nanoseconds to microseconds. 0 means no limit. */
static uint64_t duration(const struct brick_node *node, const char *name)
{
        uint64_t value = (uint64_t)brick_host->node_int(option(node, name)) / 1000;

        return value == 0 ? UINT64_MAX : value;
}

/* --- the URL ------------------------------------------------------------------------- */

static void url_freep(CURLU **url)
{
        curl_url_cleanup(*url);
}

static void curl_stringp(char **string)
{
        curl_free(*string);
}

#define _cleanup_url_ __attribute__((cleanup(url_freep)))
#define _cleanup_curl_ __attribute__((cleanup(curl_stringp)))

static char *url_part(CURLU *url, CURLUPart part)
{
        char *value = NULL;

        return curl_url_get(url, part, &value, 0) == CURLUE_OK ? value : NULL;
}

static int refuse(struct config *config, const struct brick_node *node, const char *why)
{
        brick_node_errorf(brick_host, config->ctx, node, "%s", why);
        return -EINVAL;
}

static int check_base_url(struct config *config, const struct brick_node *node, CURLU *url)
{
        _cleanup_curl_ char *scheme = NULL, *user = NULL, *fragment = NULL;

        if (curl_url_set(url, CURLUPART_URL, string_of(node), CURLU_NON_SUPPORT_SCHEME) !=
            CURLUE_OK)
                return refuse(config, node,
                              "not a URL; expected one such as \"" DEFAULT_BASE_URL "\"");
        scheme = url_part(url, CURLUPART_SCHEME);
        user = url_part(url, CURLUPART_USER);
        fragment = url_part(url, CURLUPART_FRAGMENT);
        if (!scheme || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
                return refuse(config, node, "the URL must start with https:// or http://");
        if (user)
                return refuse(config, node,
                              "the URL must not contain a password; use the option api_key");
        if (fragment)
                return refuse(config, node, "the URL must not contain #");
        return 0;
}

/* Appends to the path, and keeps the query, which some gateways need. */
static char *completions_url(CURLU *url)
{
        _cleanup_curl_ char *path = url_part(url, CURLUPART_PATH), *whole = NULL;
        char longer[2048];
        size_t n;
        int k;

        if (!path)
                return NULL;
        n = strlen(path);
        while (n > 0 && path[n - 1] == '/')
                n--;
        k = snprintf(longer, sizeof longer, "%.*s/chat/completions", (int)n, path);
        if (k < 0 || (size_t)k >= sizeof longer ||
            curl_url_set(url, CURLUPART_PATH, longer, 0) != CURLUE_OK)
                return NULL;
        whole = url_part(url, CURLUPART_URL);
        return whole ? strdup(whole) : NULL;
}

static bool is_loopback(const char *host)
{
        return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
               strcmp(host, "[::1]") == 0;
}

static void warn_of_clear_text(struct config *config, CURLU *url)
{
        _cleanup_curl_ char *scheme = url_part(url, CURLUPART_SCHEME);
        _cleanup_curl_ char *host = url_part(url, CURLUPART_HOST);

        if (config->api_key && scheme && strcmp(scheme, "http") == 0 && host && !is_loopback(host))
                brick_logf(brick_host, config->ctx, BRICK_LOG_WARNING,
                           "The API key and all prompts are sent to %s unencrypted; use a base_url "
                           "with "
                           "https://",
                           host);
}

static int read_url(struct config *config, const struct brick_node *node)
{
        _cleanup_url_ CURLU *url = curl_url();
        int r;

        if (!url)
                return -ENOMEM;
        r = check_base_url(config, option(node, "base_url"), url);
        if (r < 0)
                return r;
        config->url = completions_url(url);
        if (!config->url)
                return refuse(config, option(node, "base_url"), "the URL is too long");
        warn_of_clear_text(config, url);
        return 0;
}

static int check_proxy(struct config *config, const struct brick_node *node)
{
        _cleanup_url_ CURLU *url = curl_url();

        if (!config->proxy || !*config->proxy)
                return 0;
        if (!url)
                return -ENOMEM;
        if (curl_url_set(url, CURLUPART_URL, config->proxy,
                         CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) != CURLUE_OK)
                return refuse(config, node,
                              "not the URL of a proxy; expected one such as \"http://proxy:3128\"");
        return 0;
}

/* --- headers ------------------------------------------------------------------------- */

/* A line break in a header would start another header. */
static bool is_header_value(const char *value)
{
        for (; *value; value++)
                if (!isprint((unsigned char)*value))
                        return false;
        return true;
}

static int add_header(struct config *config, const char *name, const char *prefix,
                      const char *value)
{
        struct curl_slist *longer = NULL;
        char *line = NULL;

        if (asprintf(&line, "%s: %s%s", name, prefix, value) >= 0)
                longer = curl_slist_append(config->headers, line);
        free(line);
        if (!longer)
                return -ENOMEM;
        config->headers = longer;
        return 0;
}

static int add_header_option(struct config *config, const struct brick_node *node, const char *name,
                             const char *header)
{
        const char *value = string_of(option(node, name));

        if (!value)
                return 0;
        if (!is_header_value(value))
                return refuse(config, option(node, name), "only printable ASCII can be sent");
        return add_header(config, header, "", value);
}

/*
 * Only OpenAI's own API gets $OPENAI_API_KEY by default. Another server gets a key only if the
 * options say so: a key in the environment must not leak to another base_url.
 */
static const char *find_key(const struct brick_node *node)
{
        const char *key = string_of(option(node, "api_key"));
        const char *base_url = string_of(option(node, "base_url"));

        if (!key && strcmp(base_url, DEFAULT_BASE_URL) == 0)
                key = getenv("OPENAI_API_KEY");
        return key && *key ? key : NULL;
}

/* A key read from a file often ends with a newline. */
static int read_key(struct config *config, const struct brick_node *node)
{
        const char *key = find_key(node);
        size_t n;

        if (!key)
                return 0;
        n = strlen(key);
        while (n > 0 && isspace((unsigned char)key[n - 1]))
                n--;
        config->api_key = strndup(key, n);
        if (!config->api_key)
                return -ENOMEM;
        if (!is_header_value(config->api_key))
                return refuse(config, option(node, "api_key"), "only printable ASCII can be sent");
        return add_header(config, "Authorization", "Bearer ", config->api_key);
}

static int read_headers(struct config *config, const struct brick_node *node)
{
        int r;

        r = add_header(config, "Content-Type", "", "application/json");
        if (r == 0) /* otherwise curl waits for 100-continue before a long prompt */
                r = add_header(config, "Expect", "", "");
        if (r == 0)
                r = read_key(config, node);
        if (r == 0)
                r = add_header_option(config, node, "organization", "OpenAI-Organization");
        if (r == 0)
                r = add_header_option(config, node, "project", "OpenAI-Project");
        return r;
}

/* --- the rest ------------------------------------------------------------------------ */

/* The default model comes first, and only once. */
static int read_models(struct config *config, const struct brick_node *node)
{
        const struct brick_node *list = option(node, "models");
        size_t n = brick_host->node_size(list);
        char **next;

        next = config->models = calloc(n + 2, sizeof *config->models);
        if (!next || !(*next++ = strdup(config->chat.model)))
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const struct brick_node *item = brick_host->node_at(list, i);

                if (brick_host->node_type(item) != BRICK_STRING)
                        return refuse(config, item, "expected the name of a model");
                if (strcmp(string_of(item), config->chat.model) == 0)
                        continue;
                *next = strdup(string_of(item));
                if (!*next++)
                        return -ENOMEM;
        }
        return 0;
}

static int read_strings(struct config *config, const struct brick_node *node)
{
        struct chat_options *chat = &config->chat;
        int r;

        r = copy_option((char **)&chat->model, node, "model");
        if (r == 0)
                r = copy_option((char **)&chat->default_prompt, node, "default_prompt");
        if (r == 0)
                r = copy_option((char **)&chat->system_prompt, node, "system_prompt");
        if (r == 0)
                r = copy_option(&config->proxy, node, "proxy");
        if (r == 0)
                r = copy_option(&config->ca_file, node, "ca_file");
        if (r < 0)
                return r;
        if (!*chat->model)
                return refuse(config, option(node, "model"), "the name of a model is missing");
        if (config->ca_file && access(config->ca_file, R_OK) < 0)
                return refuse(config, option(node, "ca_file"), strerror(errno));
        return 0;
}

static int read_numbers(struct config *config, const struct brick_node *node)
{
        const struct brick_node *temperature = option(node, "temperature");

        config->chat.temperature = temperature ? brick_host->node_float(temperature) : NAN;
        config->chat.include_usage = brick_host->node_int(option(node, "include_usage"));
        config->timeout = duration(node, "timeout");
        config->connect_timeout = duration(node, "connect_timeout");
        config->first_token_timeout = duration(node, "first_token_timeout");
        config->idle_timeout = duration(node, "idle_timeout");
        config->retry_min = duration(node, "retry_min");
        config->retry_max = duration(node, "retry_max");
        config->retries = (unsigned)brick_host->node_int(option(node, "retries"));
        config->max_connections = (unsigned)brick_host->node_int(option(node, "max_connections"));
        config->max_reply = (size_t)brick_host->node_int(option(node, "max_reply"));
        if (config->retry_min > config->retry_max)
                return refuse(config, option(node, "retry_min"),
                              "must not be greater than retry_max");
        return 0;
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
                r = read_headers(config, node);
        if (r == 0)
                r = read_url(config, node);
        if (r == 0)
                r = check_proxy(config, option(node, "proxy"));
        if (r < 0) {
                (void)config_free(config);
                return r;
        }
        *ret = config;
        return 0;
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; config->models && config->models[i]; i++)
                free(config->models[i]);
        free(config->models);
        free((char *)config->chat.model);
        free((char *)config->chat.default_prompt);
        free((char *)config->chat.system_prompt);
        curl_slist_free_all(config->headers);
        free(config->ca_file);
        free(config->proxy);
        free(config->api_key);
        free(config->url);
        free(config);
        return NULL;
}

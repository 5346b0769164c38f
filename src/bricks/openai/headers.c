/* SPDX-License-Identifier: MIT */

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config.h"

/* A line break in a header would start another header. */
static bool is_value(const char *value)
{
        for (; *value; value++)
                if (!isprint((unsigned char)*value))
                        return false;
        return true;
}

static bool is_name(const char *name)
{
        static const char others[] = "!#$%&'*+-.^_`|~";

        for (const char *p = name; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr(others, *p))
                        return false;
        return *name != '\0';
}

static int add(struct config *config, const char *name, const char *prefix, const char *value)
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

static int add_secret(struct config *config, const char *secret)
{
        char **longer = reallocarray(config->secrets, config->n_secrets + 1, sizeof *longer);

        if (!longer)
                return -ENOMEM;
        config->secrets = longer;
        longer[config->n_secrets] = strdup(secret);
        return longer[config->n_secrets++] ? 0 : -ENOMEM;
}

/* A secret that is read from a file often ends with a newline. */
static char *trim(const char *value)
{
        size_t n = strlen(value);

        while (n > 0 && isspace((unsigned char)value[n - 1]))
                n--;
        return strndup(value, n);
}

/* Adds a header whose value stands at the node. */
static int add_checked(struct config *config, const struct brick_node *node, const char *name,
                       const char *prefix, const char *value, bool is_secret)
{
        char *trimmed = trim(value);
        int r;

        if (!trimmed)
                return -ENOMEM;
        if (!is_value(trimmed))
                r = config_refuse(config, node, "only printable ASCII can be sent");
        else
                r = add(config, name, prefix, trimmed);
        if (r == 0 && is_secret)
                r = add_secret(config, trimmed);
        free(trimmed);
        return r;
}

static int add_option(struct config *config, const struct brick_node *node, const char *name,
                      const char *header)
{
        const struct brick_node *option = config_option(node, name);

        return option ? add_checked(config, option, header, "", config_string(option), false) : 0;
}

/*
 * Only OpenAI's own API gets $OPENAI_API_KEY by default. Another server gets a key only if the
 * options say so: a key in the environment must not leak to another base_url.
 */
static int add_key(struct config *config, const struct brick_node *node)
{
        const struct brick_node *option = config_option(node, "api_key");
        const char *key = config_string(option);

        if (!key && strcmp(config_string(config_option(node, "base_url")), CONFIG_BASE_URL) == 0)
                key = getenv("OPENAI_API_KEY");
        if (!key || !*key)
                return 0;
        return add_checked(config, option, "Authorization", "Bearer ", key, true);
}

/* --- the option `headers` ------------------------------------------------------------------- */

/* These belong to the connection, to the call, or to what the brick writes. */
static bool is_own(const char *name)
{
        static const char *const own[] = { "accept-encoding", "connection",   "content-encoding",
                                           "content-length",  "content-type", "expect",
                                           "traceparent",     "tracestate",   "transfer-encoding",
                                           "upgrade",         "x-request-id" };

        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
                if (strcasecmp(own[i], name) == 0)
                        return true;
        return false;
}

static bool names_a_secret(const char *name)
{
        return strcasestr(name, "key") || strcasestr(name, "auth") || strcasestr(name, "token");
}

static bool is_secret(const struct brick_node *node)
{
        const char *key = brick_host->node_key(node, 0).ptr;

        return brick_host->node_type(node) == BRICK_MAP && brick_host->node_size(node) == 1 &&
               (strcmp(key, "file") == 0 || strcmp(key, "credential") == 0 ||
                strcmp(key, "env") == 0);
}

static int add_given(struct config *config, const struct brick_node *node,
                     const struct brick_node *map, size_t i)
{
        const struct brick_node *value = brick_host->node_at(map, i);
        const char *name = brick_host->node_key(map, i).ptr;
        uint32_t type = brick_host->node_type(value);
        const char *text = config_string(value);

        if (!is_name(name))
                return config_refuse(config, value, "is no name of a header");
        if (is_own(name))
                return config_refuse(config, value, "the brick sets this header itself");
        if (strcasecmp(name, "authorization") == 0 && config_option(node, "api_key"))
                return config_refuse(config, value, "the option api_key sets this header as well");
        if (is_secret(value) && !*text) /* it cannot be read, which has been reported */
                return -EINVAL;
        if (type == 0 || type == BRICK_LIST || (type == BRICK_MAP && !*text))
                return config_refuse(config, value,
                                     "expected a text, or a secret: { file: PATH }, "
                                     "{ credential: NAME } or { env: NAME }");
        return add_checked(config, value, name, "", text,
                           type == BRICK_MAP || names_a_secret(name));
}

int config_read_headers(struct config *config, const struct brick_node *node)
{
        const struct brick_node *map = config_option(node, "headers");
        int r;

        r = add(config, "Content-Type", "", "application/json");
        if (r == 0) /* otherwise curl waits for 100-continue before a long prompt */
                r = add(config, "Expect", "", "");
        if (r == 0) /* a compressed stream would come in large pieces */
                r = add(config, "Accept-Encoding", "", "");
        if (r == 0)
                r = add_key(config, node);
        if (r == 0)
                r = add_option(config, node, "organization", "OpenAI-Organization");
        if (r == 0)
                r = add_option(config, node, "project", "OpenAI-Project");
        for (size_t i = 0; i < brick_host->node_size(map) && r == 0; i++)
                r = add_given(config, node, map, i);
        return r;
}

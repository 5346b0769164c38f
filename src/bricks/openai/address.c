/* SPDX-License-Identifier: MIT */

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config.h"

#define COMPLETIONS "/chat/completions"

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

/* --- base_url ------------------------------------------------------------------------------- */

/* What people copy from a manual: the URL of one of the API's functions. */
static bool ends_in_function(const char *path)
{
        static const char *const functions[] = { "/completions", "/responses", "/messages",
                                                 "/embeddings" };
        size_t n = strlen(path);

        while (n > 0 && path[n - 1] == '/')
                n--;
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
                size_t k = strlen(functions[i]);

                if (n >= k && strncmp(path + n - k, functions[i], k) == 0)
                        return true;
        }
        return false;
}

static int check_base_url(struct config *config, const struct brick_node *node, CURLU *url)
{
        _cleanup_curl_ char *scheme = NULL, *user = NULL, *fragment = NULL, *path = NULL;

        if (curl_url_set(url, CURLUPART_URL, config_string(node), CURLU_NON_SUPPORT_SCHEME) !=
            CURLUE_OK)
                return config_refuse(config, node,
                                     "not a URL; expected one such as \"" CONFIG_BASE_URL "\"");
        scheme = url_part(url, CURLUPART_SCHEME);
        user = url_part(url, CURLUPART_USER);
        fragment = url_part(url, CURLUPART_FRAGMENT);
        path = url_part(url, CURLUPART_PATH);
        if (!scheme || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
                return config_refuse(config, node, "the URL must start with https:// or http://");
        if (user)
                return config_refuse(config, node,
                                     "the URL must not contain a password; use the option api_key");
        if (fragment)
                return config_refuse(config, node, "the URL must not contain #");
        if (path && ends_in_function(path))
                return config_refuse(config, node,
                                     "the URL must end before " COMPLETIONS
                                     ", which the brick adds itself");
        return 0;
}

/* Appends to the path, and keeps the query, which some gateways need. */
static bool add_function(CURLU *url)
{
        _cleanup_curl_ char *path = url_part(url, CURLUPART_PATH);
        char longer[2048];
        size_t n;
        int k;

        if (!path)
                return false;
        n = strlen(path);
        while (n > 0 && path[n - 1] == '/')
                n--;
        k = snprintf(longer, sizeof longer, "%.*s" COMPLETIONS, (int)n, path);
        return k > 0 && (size_t)k < sizeof longer &&
               curl_url_set(url, CURLUPART_PATH, longer, 0) == CURLUE_OK;
}

static int add_query(struct config *config, const struct brick_node *map, CURLU *url)
{
        for (size_t i = 0; i < brick_host->node_size(map); i++) {
                const struct brick_node *value = brick_host->node_at(map, i);
                uint32_t type = brick_host->node_type(value);
                char *pair = NULL;
                CURLUcode code;

                if (type == 0 || type == BRICK_LIST || type == BRICK_MAP)
                        return config_refuse(config, value, "expected a text");
                if (asprintf(&pair, "%s=%s", brick_host->node_key(map, i).ptr,
                             config_string(value)) < 0)
                        return -ENOMEM;
                code = curl_url_set(url, CURLUPART_QUERY, pair,
                                    CURLU_APPENDQUERY | CURLU_URLENCODE);
                free(pair);
                if (code != CURLUE_OK)
                        return config_refuse(config, value, "cannot be a part of a URL");
        }
        return 0;
}

/* --- what is not encrypted ---------------------------------------------------------------------
 */

static bool is_loopback(const char *host)
{
        return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
               strcmp(host, "[::1]") == 0;
}

/* Whether $no_proxy has the host, or a domain that it is in. Networks in it are not looked up. */
static bool is_exempt(const char *host)
{
        const char *list = getenv("no_proxy"), *end;

        if (!list)
                list = getenv("NO_PROXY");
        for (; list && *list; list = end) {
                size_t n, have = strlen(host);

                list += strspn(list, ", ");
                list += *list == '.';
                n = strcspn(list, ", ");
                end = list + n;
                if (n == 1 && *list == '*')
                        return true;
                if (n > 0 && n <= have && strncasecmp(host + have - n, list, n) == 0 &&
                    (n == have || host[have - n - 1] == '.'))
                        return true;
        }
        return false;
}

/* The proxy of requests to http://HOST, as libcurl finds it. NULL: none. */
static const char *find_proxy(const struct config *config, const char *host)
{
        static const char *const names[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
        const char *proxy = config->proxy;

        for (size_t i = 0; i < sizeof names / sizeof names[0] && !proxy; i++)
                proxy = getenv(names[i]);
        if (!proxy || !*proxy || (!config->proxy && is_exempt(host)))
                return NULL;
        return proxy;
}

static void warn(struct config *config, const char *what, const char *host, const char *advice)
{
        brick_logf(brick_host, config->ctx, BRICK_LOG_WARNING,
                   "The API key and all prompts are sent to %s%s unencrypted; %s", what, host,
                   advice);
}

static void warn_of_clear_text(struct config *config, CURLU *url)
{
        static const char advice[] = "use a base_url with https://";
        _cleanup_curl_ char *scheme = url_part(url, CURLUPART_SCHEME), *proxy_host = NULL;
        _cleanup_curl_ char *host = url_part(url, CURLUPART_HOST);
        _cleanup_url_ CURLU *proxy = curl_url();
        const char *text;

        if (config->n_secrets == 0 || !scheme || strcmp(scheme, "http") != 0 || !host || !proxy)
                return;
        text = find_proxy(config, host);
        if (text && strncasecmp(text, "https:", 6) != 0 &&
            curl_url_set(proxy, CURLUPART_URL, text,
                         CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK)
                proxy_host = url_part(proxy, CURLUPART_HOST);
        if (proxy_host && !is_loopback(proxy_host))
                warn(config, "the proxy ", proxy_host,
                     is_loopback(host) ? "set the option proxy to \"\"" : advice);
        else if (!is_loopback(host))
                warn(config, "", host, advice);
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
                return config_refuse(
                        config, node,
                        "not the URL of a proxy; expected one such as \"http://proxy:3128\"");
        return 0;
}

int config_read_address(struct config *config, const struct brick_node *node)
{
        const struct brick_node *base_url = config_option(node, "base_url");
        int r;

        config->url = curl_url();
        if (!config->url)
                return -ENOMEM;
        r = check_proxy(config, config_option(node, "proxy"));
        if (r == 0)
                r = check_base_url(config, base_url, config->url);
        if (r == 0)
                r = add_query(config, config_option(node, "query"), config->url);
        if (r < 0)
                return r;
        if (!add_function(config->url))
                return config_refuse(config, base_url, "the URL is too long");
        warn_of_clear_text(config, config->url);
        return 0;
}

/* SPDX-License-Identifier: MIT */
#include "http/origin.h"

#include <string.h>

#include "conf/conf.h"
#include "util/cleanup.h"

static const char *const own_names[] = { "localhost", "127.0.0.1", "[::1]" };

/* Without the port. */
static struct http_text host_name(struct http_text host)
{
        const char *colon;

        if (host.length > 0 && host.ptr[0] == '[') {
                const char *bracket = memchr(host.ptr, ']', host.length);

                return bracket ? (struct http_text){ host.ptr, (size_t)(bracket + 1 - host.ptr) }
                               : host;
        }
        colon = host.length > 0 ? memchr(host.ptr, ':', host.length) : NULL;
        return colon ? (struct http_text){ host.ptr, (size_t)(colon - host.ptr) } : host;
}

bool origin_host_is_own(struct http_text host, const struct conf_http *conf)
{
        struct http_text name = host_name(host);

        if (host.length == 0)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(own_names); i++)
                if (http_text_is_nocase(name, own_names[i]))
                        return true;
        for (size_t i = 0; i < conf->n_hosts; i++)
                if (http_text_is_nocase(name, conf->hosts[i]) ||
                    http_text_is_nocase(host, conf->hosts[i]))
                        return true;
        return false;
}

static struct http_text behind(struct http_text text, const char *prefix)
{
        size_t length = strlen(prefix);

        if (text.length <= length || memcmp(text.ptr, prefix, length) != 0)
                return (struct http_text){};
        return (struct http_text){ text.ptr + length, text.length - length };
}

/* The scheme does not count: a proxy in front may add or remove TLS. */
static bool is_own(struct http_text origin, struct http_text host)
{
        struct http_text authority = behind(origin, "http://");

        if (authority.length == 0)
                authority = behind(origin, "https://");
        return authority.length > 0 && authority.length == host.length &&
               strncasecmp(authority.ptr, host.ptr, host.length) == 0;
}

enum origin origin_check(struct http_text origin, struct http_text host,
                         const struct conf_http *conf)
{
        if (!origin.ptr || is_own(origin, host))
                return ORIGIN_OWN;
        for (size_t i = 0; i < conf->n_cors; i++)
                if (strcmp(conf->cors[i], "*") == 0 || http_text_is_nocase(origin, conf->cors[i]))
                        return ORIGIN_ALLOWED;
        return ORIGIN_REFUSED;
}

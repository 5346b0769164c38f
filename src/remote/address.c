/* SPDX-License-Identifier: MIT */
#include "remote/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "util/cleanup.h"

#define HOST_MAX 253

static const char *skip(const char *text, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static bool is_port(const char *text, size_t length)
{
        char digits[8] = "";
        long port;

        if (length == 0 || length > 5 || strspn(text, "0123456789") < length)
                return false;
        memcpy(digits, text, length);
        port = strtol(digits, NULL, 10);
        return port > 0 && port <= UINT16_MAX;
}

/* Of one `host:port`: the length of the host. -1: it is none. */
static ssize_t host_length(const char *text, size_t length)
{
        const char *colon = memrchr(text, ':', length);

        if (!colon || colon == text || !is_port(colon + 1, length - (size_t)(colon + 1 - text)))
                return -1;
        return colon - text;
}

static bool is_name(const char *text, size_t length)
{
        static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789-_.";

        return length > 0 && length <= HOST_MAX && strspn(text, legal) >= length;
}

/* An address of the family, an IPv6 one in brackets. */
static bool is_address(int family, const char *text, size_t length)
{
        char copy[INET6_ADDRSTRLEN] = "";
        unsigned char bytes[sizeof(struct in6_addr)];

        if (family == AF_INET6) {
                if (length < 2 || text[0] != '[' || text[length - 1] != ']')
                        return false;
                text++;
                length -= 2;
        }
        if (length >= sizeof copy)
                return false;
        memcpy(copy, text, length);
        return inet_pton(family, copy, bytes) == 1;
}

static bool is_host(const char *text, size_t length)
{
        return is_name(text, length) || is_address(AF_INET6, text, length);
}

/* A list of addresses with ports. */
static const char *fault_of_list(int family, const char *list)
{
        for (size_t length; length = strcspn(list, ","), true; list += length + 1) {
                ssize_t host = host_length(list, length);

                if (host < 0)
                        return "needs a port from 1 to 65535 behind each address";
                if (!is_address(family, list, (size_t)host))
                        return family == AF_INET ? "has something that is no IPv4 address"
                                                 : "has something that is no IPv6 address in "
                                                   "brackets";
                if (!list[length])
                        return NULL;
        }
}

static const char *fault_of_name(const char *name)
{
        ssize_t host = host_length(name, strlen(name));

        if (host < 0)
                return "needs a port from 1 to 65535: host:port";
        return is_host(name, (size_t)host) ? NULL : "has no host name before the port";
}

static const char *fault_of_path(const char *path)
{
        if (path[0] != '/' && (path[0] != '@' || !path[1]))
                return "needs an absolute path, or @name: unix:/path";
        if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
                return "has a path that is too long for a socket: at most 107 bytes";
        return NULL;
}

/* Everything before a colon that is no host in front of a port. */
static bool has_scheme(const char *text)
{
        size_t n = strcspn(text, ":");

        return text[n] == ':' && text[0] != '[' && !is_port(text + n + 1, strlen(text + n + 1)) &&
               strspn(text + n + 1, "0123456789") == 0;
}

static char *join(const char *scheme, const char *rest)
{
        char *text;

        return asprintf(&text, "%s%s", scheme, rest) < 0 ? NULL : text;
}

char *address_parse(const char *text, const char **ret_why)
{
        const char *rest;

        *ret_why = NULL;
        if ((rest = skip(text, "unix://")) || (rest = skip(text, "unix:"))) {
                *ret_why = fault_of_path(rest);
                if (*ret_why)
                        return NULL;
                return rest[0] == '@' ? join("unix-abstract:", rest + 1) : join("unix:", rest);
        }
        if ((rest = skip(text, "ipv4:"))) {
                *ret_why = fault_of_list(AF_INET, rest);
                return *ret_why ? NULL : strdup(text);
        }
        if ((rest = skip(text, "ipv6:"))) {
                *ret_why = fault_of_list(AF_INET6, rest);
                return *ret_why ? NULL : strdup(text);
        }
        rest = skip(text, "dns:///");
        if (!rest && has_scheme(text)) {
                *ret_why = "has a scheme that is none of dns:///, ipv4:, ipv6: and unix:";
                return NULL;
        }
        *ret_why = fault_of_name(rest ? rest : text);
        return *ret_why ? NULL : join("dns:///", rest ? rest : text);
}

bool address_is_unix(const char *address)
{
        return skip(address, "unix:") || skip(address, "unix-abstract:");
}

const char *address_shown(const char *address)
{
        const char *rest = skip(address, "dns:///");

        return rest ? rest : address;
}

static bool host_is_local(const char *host, size_t length)
{
        static const char name[] = "localhost", v6[] = "[::1]";

        return (length == sizeof name - 1 && memcmp(host, name, length) == 0) ||
               (length == sizeof v6 - 1 && memcmp(host, v6, length) == 0) ||
               (skip(host, "127.") && is_address(AF_INET, host, length));
}

bool address_is_local(const char *address)
{
        const char *rest;

        if (address_is_unix(address))
                return true;
        if (!(rest = skip(address, "dns:///")) && !(rest = skip(address, "ipv4:")) &&
            !(rest = skip(address, "ipv6:")))
                return false;
        for (size_t length; length = strcspn(rest, ","), true; rest += length + 1) {
                if (!host_is_local(rest, (size_t)host_length(rest, length)))
                        return false;
                if (!rest[length])
                        return true;
        }
}

/* SPDX-License-Identifier: MIT */
#include "serve/proxy-header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* --- version 1: "PROXY TCP4 192.0.2.7 192.0.2.1 41234 443\r\n" ----------------------------------
 */

#define LINE_MAX_V1 107 /* with its end */
#define UNKNOWN "UNKNOWN"

static const char start_v1[] = "PROXY ";

/* The next word, which a space or the end of the line follows; NULL: there is none. Cuts it off. */
static char *take_word(char **line)
{
        char *word = *line, *end = word ? strchrnul(word, ' ') : NULL;

        if (!word || end == word)
                return NULL;
        *line = *end ? end + 1 : NULL;
        *end = '\0';
        return word;
}

/* False: no number of a port. */
static bool parse_port(const char *text, in_port_t *ret)
{
        unsigned port = 0;
        size_t n = text ? strlen(text) : 0;

        if (n == 0 || n > 5 || (n > 1 && text[0] == '0') || strspn(text, "0123456789") != n)
                return false;
        for (size_t i = 0; i < n; i++)
                port = port * 10 + (unsigned)(text[i] - '0');
        *ret = htons((uint16_t)port);
        return port <= UINT16_MAX;
}

static bool parse_end(int family, const char *ip, const char *port, struct sockaddr_storage *ret)
{
        struct sockaddr_in *v4 = (void *)ret;
        struct sockaddr_in6 *v6 = (void *)ret;
        void *place = family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr;

        ret->ss_family = (sa_family_t)family;
        return ip && inet_pton(family, ip, place) == 1 &&
               parse_port(port, family == AF_INET ? &v4->sin_port : &v6->sin6_port);
}

/* The line without its start and its end. */
static enum proxy_header parse_line(char *line, struct sockaddr_storage *ret_client)
{
        const char *protocol, *ip, *own_ip, *port, *own_port;
        struct sockaddr_storage client = {}, own = {};
        int family;

        protocol = take_word(&line);
        if (protocol && strcmp(protocol, UNKNOWN) == 0)
                return PROXY_HEADER_OWN; /* whatever follows */
        if (!protocol || (strcmp(protocol, "TCP4") != 0 && strcmp(protocol, "TCP6") != 0))
                return PROXY_HEADER_BAD;
        family = protocol[3] == '4' ? AF_INET : AF_INET6;
        ip = take_word(&line);
        own_ip = take_word(&line);
        port = take_word(&line);
        own_port = take_word(&line);
        if (line || !parse_end(family, ip, port, &client) ||
            !parse_end(family, own_ip, own_port, &own))
                return PROXY_HEADER_BAD;
        *ret_client = client;
        return PROXY_HEADER_NAMED;
}

static enum proxy_header parse_v1(const char *bytes, size_t length, size_t *ret_length,
                                  struct sockaddr_storage *ret_client)
{
        size_t most = length < LINE_MAX_V1 ? length : LINE_MAX_V1;
        const char *end = memchr(bytes, '\r', most);
        char line[LINE_MAX_V1];
        size_t n;

        if (!end || (size_t)(end - bytes) + 1 == length)
                return length < LINE_MAX_V1 ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
        n = (size_t)(end - bytes);
        if (n + 2 > LINE_MAX_V1 || end[1] != '\n' || memchr(bytes, '\0', n))
                return PROXY_HEADER_BAD;
        memcpy(line, bytes, n);
        line[n] = '\0';
        *ret_length = n + 2;
        return parse_line(line + strlen(start_v1), ret_client);
}

/* --- version 2: binary --------------------------------------------------------------------------
 */

#define HEAD_V2 16

static const unsigned char start_v2[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                            0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

enum {
        LOCAL_V2 = 0x20, /* version and command */
        PROXY_V2 = 0x21,
        TCP4_V2 = 0x11, /* family and protocol */
        TCP6_V2 = 0x21,
};

/* The addresses of a client and of the proxy, and their ports. */
#define TCP4_SIZE 12
#define TCP6_SIZE 36

static void take_tcp4(const unsigned char *p, struct sockaddr_storage *ret)
{
        struct sockaddr_in *v4 = (void *)ret;

        v4->sin_family = AF_INET;
        memcpy(&v4->sin_addr, p, 4);
        memcpy(&v4->sin_port, p + 8, 2);
}

static void take_tcp6(const unsigned char *p, struct sockaddr_storage *ret)
{
        struct sockaddr_in6 *v6 = (void *)ret;

        v6->sin6_family = AF_INET6;
        memcpy(&v6->sin6_addr, p, 16);
        memcpy(&v6->sin6_port, p + 32, 2);
}

static enum proxy_header parse_v2(const unsigned char *p, size_t length, size_t *ret_length,
                                  struct sockaddr_storage *ret_client)
{
        size_t rest;

        if (length < HEAD_V2)
                return PROXY_HEADER_MORE;
        rest = (size_t)p[14] << 8 | p[15];
        if ((p[12] != LOCAL_V2 && p[12] != PROXY_V2) || HEAD_V2 + rest > PROXY_HEADER_MAX)
                return PROXY_HEADER_BAD;
        if (length < HEAD_V2 + rest)
                return PROXY_HEADER_MORE;
        *ret_length = HEAD_V2 + rest;
        if (p[12] == LOCAL_V2 || (p[13] != TCP4_V2 && p[13] != TCP6_V2))
                return PROXY_HEADER_OWN;
        if (rest < (p[13] == TCP4_V2 ? TCP4_SIZE : TCP6_SIZE))
                return PROXY_HEADER_BAD;
        if (p[13] == TCP4_V2)
                take_tcp4(p + HEAD_V2, ret_client);
        else
                take_tcp6(p + HEAD_V2, ret_client);
        return PROXY_HEADER_NAMED;
}

static bool may_begin(const void *bytes, size_t length, const void *start, size_t size)
{
        return memcmp(bytes, start, length < size ? length : size) == 0;
}

enum proxy_header proxy_header_parse(const void *bytes, size_t length, size_t *ret_length,
                                     struct sockaddr_storage *ret_client)
{
        if (may_begin(bytes, length, start_v2, sizeof start_v2))
                return parse_v2(bytes, length, ret_length, ret_client);
        if (may_begin(bytes, length, start_v1, strlen(start_v1)))
                return parse_v1(bytes, length, ret_length, ret_client);
        return PROXY_HEADER_BAD;
}

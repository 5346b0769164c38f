/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/proxy-header.h"
#include "util/network.h"

#define NAMED PROXY_HEADER_NAMED
#define OWN PROXY_HEADER_OWN
#define BAD PROXY_HEADER_BAD
#define MORE PROXY_HEADER_MORE

static const char *name(const struct sockaddr_storage *address)
{
        static char text[64];
        unsigned char ip[IP_BYTES];
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;

        if (!ip_of_socket((const struct sockaddr *)address, ip))
                return "";
        ip_print(ip, text);
        (void)snprintf(text + strlen(text), 8, " %u",
                       ntohs(address->ss_family == AF_INET ? v4->sin_port : v6->sin6_port));
        return text;
}

/* Also in memory of its own, with something behind it, and without its last byte. */
static void check(enum proxy_header expected, const char *client, const void *bytes, size_t length)
{
        struct sockaddr_storage address = {};
        size_t taken = 0;
        char *copy = malloc(length + 1);

        assert(copy);
        memcpy(copy, bytes, length);
        copy[length] = 'P';
        assert(proxy_header_parse(copy, length + 1, &taken, &address) == expected);
        assert(strcmp(name(&address), client) == 0);
        if (expected == NAMED || expected == OWN) {
                assert(taken == length);
                for (size_t n = 0; n < length; n++) {
                        char *part = memcpy(malloc(n + 1), bytes, n);

                        assert(proxy_header_parse(part, n, &taken, &address) == MORE);
                        free(part);
                }
        }
        free(copy);
}

static void check_v1(enum proxy_header expected, const char *client, const char *line)
{
        check(expected, client, line, strlen(line));
}

static void test_v1(void)
{
        char line[256];

        check_v1(NAMED, "192.0.2.7 41234", "PROXY TCP4 192.0.2.7 192.0.2.1 41234 443\r\n");
        check_v1(NAMED, "2001:db8::7 0", "PROXY TCP6 2001:db8::7 ::1 0 65535\r\n");
        check_v1(NAMED, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535",
                 "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
        check_v1(OWN, "", "PROXY UNKNOWN\r\n");
        check_v1(OWN, "", "PROXY UNKNOWN ffff::1 any thing 1\r\n");
        check_v1(BAD, "", "PROXY TCP4 2001:db8::7 ::1 1 2\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 41234\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 41234 443 \r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 41234 65536\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 041234 443\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 -1 443\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7  192.0.2.1 1 443\r\n");
        check_v1(BAD, "", "PROXY UDP4 192.0.2.7 192.0.2.1 1 443\r\n");
        check_v1(BAD, "", "PROXY \r\n");
        check_v1(BAD, "", "proxy TCP4 192.0.2.7 192.0.2.1 41234 443\r\n");
        check_v1(BAD, "", "PROXY TCP4 192.0.2.7 192.0.2.1 41234 443\rx");
        check_v1(BAD, "", "GET / HTTP/1.1\r\n");
        check_v1(BAD, "", "PRI * HTTP/2.0\r\n");
        memset(line, 'x', sizeof line);
        memcpy(line, "PROXY UNKNOWN ", 14);
        check(BAD, "", line, sizeof line);
        check(BAD, "", line, 108);
        memcpy(line + 105, "\r\n", 2);
        check(OWN, "", line, 107);
        memcpy(line + 104, "x\0\r\n", 4);
        check(BAD, "", line, 108);
        check(BAD, "", "PROXY UNKNOWN\0\r\n", 16);
}

/* The head of a header of version 2, and zeros. */
static void check_v2(enum proxy_header expected, const char *client, unsigned command,
                     unsigned family, size_t rest)
{
        unsigned char bytes[16 + 65535] = "\r\n\r\n\0\r\nQUIT\n";

        bytes[12] = (unsigned char)command;
        bytes[13] = (unsigned char)family;
        bytes[14] = (unsigned char)(rest >> 8);
        bytes[15] = (unsigned char)rest;
        memcpy(bytes + 16, "\xc0\0\2\7", 4);
        memcpy(bytes + 16 + 8, "\x12\x34", 2);
        check(expected, client, bytes, 16 + rest);
}

static void test_v2(void)
{
        check_v2(NAMED, "192.0.2.7 4660", 0x21, 0x11, 12);
        check_v2(NAMED, "192.0.2.7 4660", 0x21, 0x11, 200); /* more about the client */
        check_v2(NAMED, "c000:207:0:0:1234:: 0", 0x21, 0x21, 36);
        check_v2(BAD, "", 0x21, 0x11, 11);
        check_v2(BAD, "", 0x21, 0x21, 35);
        check_v2(OWN, "", 0x20, 0x11, 12); /* a health check of the proxy's */
        check_v2(OWN, "", 0x20, 0x00, 0);
        check_v2(OWN, "", 0x20, 0x21, 5);
        check_v2(OWN, "", 0x21, 0x00, 0);   /* the proxy does not know */
        check_v2(OWN, "", 0x21, 0x31, 216); /* the client of a unix socket */
        check_v2(BAD, "", 0x22, 0x11, 12);
        check_v2(BAD, "", 0x11, 0x11, 12);
        check_v2(OWN, "", 0x20, 0x00, PROXY_HEADER_MAX - 16);
        check_v2(BAD, "", 0x20, 0x00, PROXY_HEADER_MAX - 15);
        check_v2(BAD, "", 0x21, 0x11, 65535);
        check(BAD, "", "\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0", 16);
}

int main(void)
{
        test_v1();
        test_v2();
        return 0;
}

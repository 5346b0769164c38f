/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "util/network.h"

static bool has(const char *network, const char *ip)
{
        struct network n;
        unsigned char bytes[IP_BYTES];

        assert(!network_parse(&n, network));
        assert(ip_parse(ip, strlen(ip), bytes));
        return network_has(&n, bytes);
}

static void test_has(void)
{
        assert(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.0"));
        assert(has("192.0.2.128/25", "192.0.2.200") && !has("192.0.2.128/25", "192.0.2.127"));
        assert(has("192.0.2.7", "192.0.2.7") && !has("192.0.2.7", "192.0.2.6"));
        assert(has("0.0.0.0/0", "203.0.113.1") && !has("0.0.0.0/0", "2001:db8::1"));
        assert(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert(has("::1", "::1") && !has("::1", "::2"));
        assert(has("::/0", "2001:db8::1") && has("::/0", "192.0.2.1"));
        assert(has("10.0.0.0/8", "::ffff:10.1.1.1") && has("::ffff:10.0.0.0/104", "10.1.1.1"));
}

static void test_mistakes(void)
{
        static const char *const bad[] = {
                "",
                "x",
                "10.0.0.0/",
                "10.0.0.0/33",
                "10.0.0.0/8/8",
                "10.0.0.1/8",
                "::/129",
                "2001:db8::/-1",
                "2001:db8::1/64",
                "10.0.0/8",
                "10.0.0.0/ 8",
                "10.0.0.0/0x8",
                "/8",
                "1.2.3.4.5",
                "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
        };
        struct network n;

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert(network_parse(&n, bad[i]));
}

static void test_sockets(void)
{
        const struct sockaddr_in v4 = { .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(0x0a000001) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
        const struct sockaddr local = { .sa_family = AF_UNIX };
        unsigned char a[IP_BYTES], b[IP_BYTES];
        char text[IP_TEXT_MAX];

        assert(ip_of_socket((const struct sockaddr *)&v4, a) && ip_is_v4(a));
        assert(inet_pton(AF_INET6, "::ffff:10.0.0.1", &v6.sin6_addr) == 1);
        assert(ip_of_socket((const struct sockaddr *)&v6, b) && memcmp(a, b, IP_BYTES) == 0);
        ip_print(a, text);
        assert(strcmp(text, "10.0.0.1") == 0);
        assert(ip_parse("2001:db8:0::7", 13, a) && !ip_is_v4(a));
        ip_print(a, text);
        assert(strcmp(text, "2001:db8::7") == 0);
        assert(!ip_of_socket(&local, a));
        assert(!ip_parse("10.0.0.1\0", 9, a));
}

int main(void)
{
        test_has();
        test_mistakes();
        test_sockets();
        return 0;
}

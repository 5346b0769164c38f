/* SPDX-License-Identifier: MIT */
#include "util/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Bits of ::ffff:0:0/96, in which IPv4 addresses are. */
#define V4_BITS 96

static const unsigned char v4_prefix[V4_BITS / 8] = { [10] = 0xff, [11] = 0xff };

bool ip_parse(const char *text, size_t length, unsigned char ret[static IP_BYTES])
{
        char copy[INET6_ADDRSTRLEN];
        unsigned char v4[4];

        if (length >= sizeof copy)
                return false;
        memcpy(copy, text, length);
        copy[length] = '\0';
        if (strlen(copy) != length)
                return false;
        if (inet_pton(AF_INET6, copy, ret) == 1)
                return true;
        if (inet_pton(AF_INET, copy, v4) != 1)
                return false;
        memcpy(ret, v4_prefix, sizeof v4_prefix);
        memcpy(ret + sizeof v4_prefix, v4, sizeof v4);
        return true;
}

bool ip_of_socket(const struct sockaddr *address, unsigned char ret[static IP_BYTES])
{
        const struct sockaddr_in *v4 = (const void *)address;
        const struct sockaddr_in6 *v6 = (const void *)address;

        if (address->sa_family == AF_INET6) {
                memcpy(ret, &v6->sin6_addr, IP_BYTES);
                return true;
        }
        if (address->sa_family != AF_INET)
                return false;
        memcpy(ret, v4_prefix, sizeof v4_prefix);
        memcpy(ret + sizeof v4_prefix, &v4->sin_addr, sizeof v4->sin_addr);
        return true;
}

bool ip_is_v4(const unsigned char ip[static IP_BYTES])
{
        return memcmp(ip, v4_prefix, sizeof v4_prefix) == 0;
}

void ip_print(const unsigned char ip[static IP_BYTES], char ret[static IP_TEXT_MAX])
{
        if (ip_is_v4(ip))
                (void)inet_ntop(AF_INET, ip + sizeof v4_prefix, ret, IP_TEXT_MAX);
        else
                (void)inet_ntop(AF_INET6, ip, ret, IP_TEXT_MAX);
}

/* -1: no number of so many bits. */
static int parse_bits(const char *text, unsigned most)
{
        unsigned bits = 0;

        if (*text == '\0' || strlen(text) > 3)
                return -1;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -1;
                bits = bits * 10 + (unsigned)(*text - '0');
        }
        return bits <= most ? (int)bits : -1;
}

static bool is_zero_behind(const struct network *network)
{
        for (unsigned bit = network->bits; bit < IP_BYTES * 8; bit++)
                if (network->address[bit / 8] & 0x80 >> bit % 8)
                        return false;
        return true;
}

const char *network_parse(struct network *ret, const char *text)
{
        const char *slash = strchrnul(text, '/');
        unsigned skipped;
        int bits;

        if (!ip_parse(text, (size_t)(slash - text), ret->address))
                return "expected an IP address, or a network such as 10.0.0.0/8";
        skipped = ip_is_v4(ret->address) && !strchr(text, ':') ? V4_BITS : 0;
        bits = *slash ? parse_bits(slash + 1, IP_BYTES * 8 - skipped)
                      : (int)(IP_BYTES * 8 - skipped);
        if (bits < 0)
                return skipped ? "expected 0 to 32 behind the slash"
                               : "expected 0 to 128 behind the slash";
        ret->bits = skipped + (unsigned)bits;
        return is_zero_behind(ret) ? NULL : "the address has bits behind its prefix";
}

bool network_has(const struct network *network, const unsigned char ip[static IP_BYTES])
{
        unsigned bytes = network->bits / 8, rest = network->bits % 8;

        return memcmp(network->address, ip, bytes) == 0 &&
               (rest == 0 || (network->address[bytes] ^ ip[bytes]) >> (8 - rest) == 0);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/* IP addresses and networks. An address has 16 bytes; an IPv4 address is ::ffff:a.b.c.d. Any thread
 * may call these functions. */

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

#define IP_BYTES 16

/* "192.0.2.7", "2001:db8::7". False: the text is no address. */
bool ip_parse(const char *text, size_t length, unsigned char ret[static IP_BYTES]);

/* The address of a socket. False: it has none, as a unix socket. */
bool ip_of_socket(const struct sockaddr *address, unsigned char ret[static IP_BYTES]);

bool ip_is_v4(const unsigned char ip[static IP_BYTES]);

/* Writes it as text. */
#define IP_TEXT_MAX 46
void ip_print(const unsigned char ip[static IP_BYTES], char ret[static IP_TEXT_MAX]);

struct network {
        unsigned char address[IP_BYTES];
        unsigned bits; /* the first ones of the address, which all addresses of the network have */
};

/* "192.0.2.0/24", "2001:db8::/32", or one address. NULL: done; else what is wrong with it. */
const char *network_parse(struct network *ret, const char *text);

bool network_has(const struct network *network, const unsigned char ip[static IP_BYTES]);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The text that says who has made a connection, or whose call a proxy passes on. */

#include <stdbool.h>

#include "brick.h"

/* The peer of a unix socket is "unix:", this and a number: the user who has connected. */
#define PEER_USER "uid="

/* peer: "ipv4:ADDRESS" or "ipv6:[ADDRESS]", the brackets also as %5B and %5D, with or without a
 * port behind it. False: anything else, which has no address. ret: of IP_BYTES. [any] */
bool peer_ip(struct brick_str peer, unsigned char *ret);

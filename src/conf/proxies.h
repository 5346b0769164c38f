/* SPDX-License-Identifier: MIT */
#pragma once

/* The lists of proxies in a port's configuration: forwarded and proxy_protocol. */

#include <stdbool.h>

struct conf_proxies;
struct diag;
struct document;
struct node;

/* Reads the key of a port. The networks belong to doc. Mistakes go to diag. 0 or -ENOMEM. */
int proxies_read(struct document *doc, const struct node *port, const char *key,
                 struct conf_proxies *ret, struct diag *diag);

/* Whether the list has the address, of IP_BYTES; NULL: that of a client of a unix socket. [any] */
bool proxies_have(const struct conf_proxies *proxies, const unsigned char *ip);

/* Whether it has any. */
bool proxies_any(const struct conf_proxies *proxies);

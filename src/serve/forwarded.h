/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The client of a call that came through a proxy, as the proxy says: X-Forwarded-For, or Forwarded
 * (RFC 7239) if a call has none of that. Each proxy on the way has added an address at the end:
 * they are read from the end, past those of proxies that are trusted, so that nothing counts that a
 * client may have written itself.
 */

#include <stdbool.h>
#include <stddef.h>

#include "brick.h"

struct conf_proxies;

/* The index-th field of a request, names in lower case or as they came; false: it has no more. */
typedef bool forwarded_field(const void *request, size_t index, struct brick_str *ret_name,
                             struct brick_str *ret_value);

/*
 * Writes the client as "ipv4:192.0.2.7" or "ipv6:[2001:db8::7]". peer: who has made the connection,
 * as admission.h takes it. False: the call is that peer's own, as it is not trusted, or does not
 * say whose it is. [any]
 */
#define FORWARDED_MAX 64
bool forwarded_client(const struct conf_proxies *trusted, struct brick_str peer,
                      forwarded_field *field, const void *request, char ret[static FORWARDED_MAX]);

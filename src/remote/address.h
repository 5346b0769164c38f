/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * The address of a backend, as a user writes it, in the form that gRPC takes, for free():
 *
 *   host:port                         the same as dns:///host:port
 *   dns:///host:port                  all addresses of the name
 *   ipv4:address:port,address:port    several servers
 *   ipv6:[address]:port,[address]:port
 *   unix:/path, unix:@name
 *
 * NULL: it is none; *ret_why says why, as a predicate, or is NULL: out of memory.
 */
char *address_parse(const char *text, const char **ret_why);

/* An address from address_parse() as messages have it: the shortest that users may write. */
const char *address_shown(const char *address);

/* Whether nothing that is sent to this address, from address_parse(), leaves the machine. */
bool address_is_local(const char *address);
bool address_is_unix(const char *address);

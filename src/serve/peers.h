/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many connections there are: of each port and of each address, with their limits, and of this
 * worker, which other workers see. Any thread may call these functions, except where said.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "shared/stats.h"

struct balance;
struct listener;

/* Whose connection it is: what limits.connections_per_address counts by. */
struct peer_key {
        struct listener *listener; /* NULL: brickd is the client */
        unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the network of 64 bits; zeros:
                                      it has none */
        bool is_proxy; /* of many clients, by `forwarded`: it does not count by its address */
};

/* The key of a connection that has this peer. A unix socket has no address. */
struct peer_key peers_key(struct listener *listener, const struct sockaddr *address);

/* Counts one more connection. False: a limit has been reached, or there is no memory; that has been
 * counted and logged. */
bool peers_add(const struct peer_key *key);
/* A connection that peers_add() or peers_name() has counted is closed. */
void peers_remove(const struct peer_key *key);

/* A connection that was counted without an address has this one. False: a limit has been reached,
 * as above, and it is counted no more. */
bool peers_name(const struct peer_key *key);

/* Of this worker. */
unsigned peers_count(void);

/* Tells balance, which outlives all connections, how many there are. Before the first one. [main]
 */
void peers_share(struct balance *balance);

/* This worker accepts no connections for now: other workers must not leave it any. */
void peers_pause(void);

/* Whether this worker has more connections than another, which should accept the next one. */
bool peers_are_ahead(void);

/* This worker can accept no more, however few it has: until their number changes, other workers
 * must not leave it any. */
void peers_refuse(void);

/* Whose connection it is, for a line of the log: "192.0.2.7", "2001:db8::/64", "a local client". */
#define PEERS_NAME_MAX 64
void peers_describe(const struct peer_key *key, char ret[static PEERS_NAME_MAX]);

/* Counts a connection that brickd closes, and logs it: at most one line in ten seconds for each
 * reason. */
void peers_reject(const struct peer_key *key, enum stats_reason why);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The limits of a port that gRPC core does not keep, held against what the client of a connection
 * sends. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "conf/conf.h"
#include "rpc/frames.h"
#include "shared/stats.h"

/* An adopted socket. */
struct listener {
        const struct conf_port *conf;
        struct stats_port *stats;
        struct listener *next;
        unsigned connections; /* under the lock of connection.c */
        atomic_bool missed;   /* a connection may wait that could not be accepted */

        /* For the thread that accepts, and the core lets one at a time. */
        int fd;
        int epoll; /* where the core waits for it, and how; -1: not yet known */
        struct epoll_event event;
        unsigned turn; /* connections accepted since others had their turn */

        /* For connections that are left to other workers. */
        int timer;      /* in the same epoll, with the same event; -1: not yet made */
        uint64_t until; /* CLOCK_MONOTONIC ns: when that ends; 0: none is */
        unsigned few;   /* so many may then be taken */
};

/* Of whom a connection is. */
struct peer_key {
        struct listener *listener;
        unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the network of 64 bits; zeros:
                                      it has none */
};

/* One connection; for the thread that reads from it, and the core lets one at a time. */
struct inspect {
        struct peer_key peer;
        struct frames_limits limits;
        struct frames frames;
        struct frames_out sent; /* for the thread that writes */
        uint64_t second;        /* in which the resets were counted */
        unsigned resets;
};

void inspect_begin(struct inspect *inspect, const struct peer_key *peer);

/* Most that requests under way may take in the whole worker, 0: no limit; and what is to be done
 * when they take more. [main, before the first connection] */
void inspect_limit(uint64_t bytes, void (*shed)(void));

/* The next bytes that the client has sent, in plain text. False: they must not reach the core, and
 * the connection is to be closed; that has been counted and logged. */
bool inspect_bytes(struct inspect *inspect, const void *bytes, size_t length);

/* Counts a connection that is refused, and logs it, though not more often than once in ten seconds.
 * [any] */
void inspect_reject(const struct peer_key *peer, enum stats_reason why);

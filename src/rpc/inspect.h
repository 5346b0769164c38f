/* SPDX-License-Identifier: MIT */
#pragma once

/* Checks what the client of a connection sends against the limits of its port that gRPC core does
 * not enforce. */

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
        atomic_bool missed;   /* accept4() has failed, and a connection may still wait */

        /* For the thread that accepts; the core lets one at a time. */
        int fd;
        int epoll;                /* where the core waits for events; -1: nowhere yet */
        struct epoll_event event; /* for which it waits there */
        unsigned batch;           /* connections accepted since the core last did something else */

        /* While connections are left to other workers. */
        int timer;      /* in the same epoll, with the same event; -1: not made yet */
        uint64_t until; /* CLOCK_MONOTONIC ns: when this worker accepts again; 0: it does now */
        unsigned few;   /* connections that it may then accept */
};

/* Whose connection it is: what limits.connections_per_address counts by. */
struct peer_key {
        struct listener *listener; /* NULL: the core is the client */
        unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the network of 64 bits; zeros:
                                      it has none */
};

/* One connection; for the thread that reads from it. The core lets one at a time. */
struct inspect {
        struct peer_key peer;
        struct frames_limits limits;
        struct frames frames;
        struct frames_out sent; /* for the thread that writes */
        uint64_t second;        /* in which `resets` was counted */
        unsigned resets;
};

void inspect_begin(struct inspect *inspect, const struct peer_key *peer);

/* How many bytes unfinished requests may take in the whole worker (0: no limit), and the function
 * to call, on any thread, when they take more. [main, before the first connection] */
void inspect_limit(uint64_t bytes, void (*shed)(void));

/* Checks the next bytes that the client has sent, in plain text. False: they must not reach the
 * core, and the connection is to be closed; that has been counted and logged. */
bool inspect_bytes(struct inspect *inspect, const void *bytes, size_t length);

/* Counts a connection that brickd closes, and logs it: at most one line in ten seconds. [any] */
void inspect_reject(const struct peer_key *peer, enum stats_reason why);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The connections that gRPC core has accepted on adopted sockets: how many there are against the
 * limits of their port, and what brickd knows of each. The descriptor is the key, since it is all
 * that the core shows of a connection.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "conf/stats.h"
#include "rpc/frames.h"

/* Descriptors from here on are not served. */
#define FD_MAX (1 << 20)

/* An adopted socket. */
struct listener {
        const struct conf_port *conf;
        struct stats_port *stats;
        unsigned connections; /* under the table's lock */
};

struct peer;

struct connection {
        struct listener *listener;
        struct peer *peer; /* NULL: a unix socket's */

        /* Of receive.c; for the thread that reads from it, and the core lets one at a time. */
        int epoll; /* where the core waits for it, and how; -1: not yet known */
        struct epoll_event event;
        size_t turn; /* bytes read since others had theirs */
        bool filled; /* the last read had no room for more */
        struct frames frames;
        uint64_t second; /* in which the resets were counted */
        unsigned resets;
};

/*
 * A connection that the listener, which must outlive it, has accepted: in the table from now on.
 * False: a limit has been reached, or memory is out; it has been counted and logged. [any]
 */
bool connection_add(int fd, struct listener *listener, const struct sockaddr *address);

/* Before fd is closed. [any] */
void connection_remove(int fd);

/* NULL: fd is none of them. [any] */
struct connection *connection_of(int fd);

/* The connection breaks a limit and is about to be closed: counted and logged. [any] */
void connection_reject(const struct connection *connection, enum stats_reason why);

/* In the table. [any] */
unsigned connection_count(void);

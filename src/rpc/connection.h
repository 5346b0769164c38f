/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The connections that gRPC core has accepted on adopted sockets: how many there are against the
 * limits of their port, and what brickd knows of each. The descriptor is the key, since it is all
 * that the core shows of a connection.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "rpc/inspect.h"

struct balance;

/* Descriptors from here on are not served. */
#define FD_MAX (1 << 20)

struct connection {
        struct inspect inspect;

        /* Of receive.c, for the thread that reads from it. */
        int epoll; /* where the core waits for it, and how; -1: not yet known */
        struct epoll_event event;
        size_t turn;   /* bytes that it may read before others have theirs; 0: it has none yet */
        size_t left;   /* of them */
        uint64_t data; /* what it had sent of messages when the turn began */
        bool paused;   /* the turn is over: an event begins the next */
};

/* Before the first one: balance, which outlives them, is told how many there are. [main] */
void connection_share(struct balance *balance);

/* This worker takes no more of them: the others are not to wait for it. [any] */
void connection_leave(void);

/* This worker has more of them than another, which shall have the next one. [any] */
bool connection_is_ahead(void);

/* This worker can serve no more, few as it has: until their number changes, others shall not leave
 * it any. [any] */
void connection_refuse(void);

/*
 * A connection that the listener, which must outlive it, has accepted: in the table from now on.
 * False: a limit has been reached, or memory is out; it has been counted and logged. [any]
 */
bool connection_add(int fd, struct listener *listener, const struct sockaddr *address);

/* Before fd is closed. [any] */
void connection_remove(int fd);

/* NULL: fd is none of them. [any] */
struct connection *connection_of(int fd);

/* In the table. [any] */
unsigned connection_count(void);

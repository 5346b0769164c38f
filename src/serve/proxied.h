/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The connections of a listener that are to begin with a PROXY header (proxy-header.h) and have not
 * sent it yet. The header is taken off before anybody else reads from the connection, so that TLS
 * and HTTP begin behind it. For the thread that accepts, one at a time.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "util/cleanup.h"

struct listener;
struct proxied;

/* NULL: no memory, or no descriptor. */
struct proxied *proxied_new(struct listener *listener);

/* Closes the connections that still wait. */
struct proxied *proxied_free(struct proxied *p);
DEFINE_CLEANUP(struct proxied *, proxied_free);

/* Their event, edge-triggered, comes there when proxied_next() has something to do; again: it comes
 * once more if there still is. False: errno is set. */
bool proxied_wait(struct proxied *p, int epoll, struct epoll_event *event);
void proxied_wait_again(struct proxied *p, int epoll, struct epoll_event *event);

/* Takes a connection that has been counted in peers.h as one without an address. False: no memory,
 * and it is still the caller's. */
bool proxied_add(struct proxied *p, int fd, const struct sockaddr_storage *address);

/*
 * A connection whose header has come, counted under the address that it names, which *ret_address
 * is then; -1: there is none. Connections that take longer than limits.handshake or send something
 * else are closed.
 */
int proxied_next(struct proxied *p, struct sockaddr_storage *ret_address);

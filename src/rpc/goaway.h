/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * GOAWAY without loss (RFC 9113, section 6.8): the client opens no new streams on the connection,
 * and the streams that it has opened are served. The core does not know of the frame, and goes on.
 * Connections with TLS get none: only the core can write to them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct connection;

/* Sends GOAWAY to the clients of all connections, also those that are accepted later. [any] */
void goaway_all(void);

/* Whether goaway_all() has been called. [any] */
bool goaway_announced(void);

/* The client has acknowledged the core's SETTINGS, in plain text. [any] */
void goaway_greeted(struct connection *connection);

/* The core has written `written` of the `size` bytes of a message, or got an error: < 0. Lock held.
 */
void goaway_note_write(struct connection *connection, const struct msghdr *message, size_t size,
                       ssize_t written);

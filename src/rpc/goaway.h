/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Telling clients to go, without loss, as RFC 9113 section 6.8 has it: a client that is told opens
 * no new streams on the connection, and what it has begun is served. The core goes on as if nothing
 * was said. Encrypted connections are left alone: nobody but the core can write to them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct connection;

/* Tells the clients of all connections that there are, and of all that are accepted later. [any] */
void goaway_all(void);

/* That has been called. [any] */
bool goaway_told(void);

/* The peer has said, in plain text, that it has seen the core's SETTINGS. [any] */
void goaway_greeted(struct connection *connection);

/* The core has written so much of a message. Lock held. */
void goaway_note_write(struct connection *connection, const struct msghdr *message, size_t size,
                       ssize_t written);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The end of a connection. What the core has written, and the kernel has not taken yet, is sent
 * before the connection is shut down or closed, for as long as TCP would wait for its
 * acknowledgement.
 */

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* The core shuts the connection down, or closes it. True: not yet, as bytes wait for the peer; it
 * is then done when they have gone. [any] */
bool linger_shutdown(struct connection *connection);
bool linger_close(struct connection *connection);

/* The bytes have gone: what had to wait for that is done. Lock held. */
void linger_settle(struct connection *connection);

/* The same of closing: true, once, if the caller is to close the descriptor. Lock held. */
bool linger_is_over(struct connection *connection);

/* Now and then, at `now` of clock_now(): ends connections that the core closed long ago and whose
 * peers still do not read. [any] */
void linger_look(uint64_t now);

/* Ends every connection, though its peer may not read what the core would still write. [any] */
void linger_disconnect(void);

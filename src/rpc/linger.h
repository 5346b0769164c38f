/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Lingering close. Bytes that the core has written and the kernel has not taken yet are sent before
 * the connection is shut down or closed, for at most as long as TCP waits for an acknowledgement.
 */

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* The core shuts the connection down, or closes it. True: bytes wait for the peer, and this file
 * shuts it down or closes it once they have been sent. [any] */
bool linger_shutdown(struct connection *connection);
bool linger_close(struct connection *connection);

/* All bytes have been sent: shuts the connection down, if that had to wait. Lock held. */
void linger_complete(struct connection *connection);

/* True, once: all bytes have been sent, and the caller is to close the descriptor, which had to
 * wait. Lock held. */
bool linger_is_over(struct connection *connection);

/* Once a second, at `now` of clock_now(): ends connections that the core closed more than 20
 * seconds ago and whose peers do not read the last bytes. [any] */
void linger_maintain(uint64_t now);

/* Ends every connection, whether or not its peer has read everything. [any] */
void linger_disconnect(void);

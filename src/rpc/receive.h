/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Receiving. gRPC core reads from a connection as long as there is something to read, and does
 * nothing else meanwhile. One client that sends calls faster than they can begin would block all
 * others, while memory fills with calls that the core has not announced. So each connection has a
 * budget: once it is spent, the core reads from others first. A connection whose client breaks the
 * limits is closed. And nothing is read from a client that does not read its replies, because these
 * would pile up in memory.
 *
 * A client that begins many calls waits for others: once the events of one wait have taken some
 * milliseconds, the next wait comes first.
 */

#include <sys/socket.h>

struct connection;
struct peer_key;

/* recvmsg() for the core. [the core's thread that reads; one at a time for a connection] */
ssize_t receive_message(struct connection *connection, struct msghdr *message, int flags);

/* Calls that have come are not taken as fast: until receive_release(), nothing more is read from
 * clients that have begun more than a few of them. [one thread] */
void receive_hold(void);
void receive_release(void);

/* Whose connection the calling thread has read from since it last waited: what the core then logs
 * is about that. NULL: none, or one to a backend. */
const struct peer_key *receive_peer(void);

/* The calling thread is about to wait. */
void receive_forget_peer(void);

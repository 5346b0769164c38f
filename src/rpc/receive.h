/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What connections receive. gRPC core reads from a connection for as long as something comes, and
 * does nothing else meanwhile: one client that sends calls faster than they can be begun would hold
 * up all others, while memory fills with calls that nobody has been told of. So connections take
 * turns, and one whose client breaks the limits is closed. Of a client that does not read what it
 * is sent nothing is read, either: it cannot have more and more calls answered into memory.
 */

#include <sys/socket.h>

struct connection;

/* As recvmsg(), for the core. [the thread that reads] */
ssize_t receive_message(struct connection *connection, struct msghdr *message, int flags);

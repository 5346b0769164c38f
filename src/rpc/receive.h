/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the connections of listen.h receive. gRPC core reads from a connection for as long as
 * something comes, and does nothing else meanwhile: one client that sends calls faster than they
 * can be begun holds up all others, while memory fills with calls that nobody has been told of.
 * This file defines recvmsg() and epoll_ctl() in the executable, in front of libc's: connections
 * take turns, and one whose client breaks the limits is closed.
 */

/* Links this file in. */
void receive_init(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets that gRPC core did not make. The core of Debian 12 can only bind addresses
 * itself, so this file defines bind(), accept4(), shutdown() and close() in the executable, in
 * front of libc's: the core then takes the sockets that the main process has given us, cannot lose
 * a listener to a full descriptor table, cannot shut down a socket that other processes share,
 * keeps to the port's limits of connections, leaves to other workers what is theirs
 * (shared/balance.h), and can be told to stop accepting.
 */

#include <stdbool.h>

struct conf_port;
struct epoll_event;
struct peer_key;
struct stats_port;

/*
 * The next bind() of this thread to LISTEN_PLACEHOLDER adopts fd, a listening socket, and closes
 * it: call grpc_server_add_http2_port() with that address right after. -1: none does. Its
 * connections keep to the limits of conf and are counted in stats, which both outlive them. At most
 * LISTEN_MAX. [main]
 */
#define LISTEN_MAX 64
#define LISTEN_PLACEHOLDER "127.0.0.1:0"
void listen_adopt(int fd, const struct conf_port *conf, struct stats_port *stats);

/* Every adopted socket stops accepting: its connections wait in the queue for another process.
 * [any] */
void listen_pause(void);

/* Now and then, while the servers have not been shut down: tries again to accept what could not be
 * accepted, for want of memory for example. [main] */
void listen_look(void);

/* Connections accepted and not yet closed. [any] */
unsigned listen_connections(void);

/* For receive.c: the core is about to wait for a descriptor, which may be an adopted socket.
 * [any] */
void listen_wait(int fd, int epoll, const struct epoll_event *event);

/* For decrypt.c: of whom the connection is that this thread has accepted last; NULL: none. */
const struct peer_key *listen_accepted(void);

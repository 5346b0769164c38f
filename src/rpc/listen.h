/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets that gRPC core did not make. The core of Debian 12 can only bind addresses
 * itself. These functions make it use the sockets that the main process has opened. They also see
 * to it that
 *   - a full descriptor table does not end a listener;
 *   - the core does not shut down a socket that other processes share;
 *   - the port's limits on connections hold;
 *   - connections are spread over the workers (shared/balance.h);
 *   - a worker can stop accepting.
 */

#include <stdbool.h>
#include <sys/socket.h>

struct conf_port;
struct connection;
struct epoll_event;
struct listener;
struct stats_port;

/*
 * The next bind() of this thread to LISTEN_PLACEHOLDER adopts the listening socket fd, and closes
 * fd: call grpc_server_add_http2_port() with that address right after. -1: the next bind() adopts
 * nothing. conf has the limits of the connections, and stats counts them; both outlive them. [main]
 */
#define LISTEN_PLACEHOLDER "127.0.0.1:0"
void listen_adopt(int fd, const struct conf_port *conf, struct stats_port *stats);

/* Every adopted socket stops accepting, for good: new connections wait in its queue for another
 * process. [any] */
void listen_pause(void);

/* Once a second, until the servers are shut down: tries again to accept connections that could not
 * be accepted, for example for lack of memory. [main] */
void listen_maintain(void);

/* Connections accepted and not yet closed. [any] */
unsigned listen_connections(void);

/* For decrypt.c: the last connection that this thread has accepted on a port with TLS; NULL: there
 * is none, or it has been taken already. */
struct connection *listen_take_accepted(void);

/* bind() for the core, of any socket; and accept4() for the core, of an adopted one. */
int listen_bind(int fd, const struct sockaddr *address, socklen_t length);
int listen_accept(struct listener *listener, struct sockaddr *address, socklen_t *length,
                  int flags);

/* The core is about to wait for events of an adopted socket; it closes one. */
void listen_wait(struct listener *listener, int epoll, const struct epoll_event *event);
void listen_close(struct listener *listener);

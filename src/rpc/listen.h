/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets that gRPC core did not make. The core of Debian 12 can only bind addresses
 * itself. These functions make it use the sockets that the main process has opened, and accept on
 * them as serve/listener.h says. They also see to it that the core does not shut down a socket that
 * other processes share.
 */

#include <stdbool.h>
#include <sys/socket.h>

struct conf_port;
struct connection;
struct listener;
struct stats_port;

/*
 * The next bind() of this thread to LISTEN_PLACEHOLDER adopts the listening socket fd, and closes
 * fd: call grpc_server_add_http2_port() with that address right after. -1: the next bind() adopts
 * nothing. conf has the limits of the connections, and stats counts them; both outlive them. [main]
 */
#define LISTEN_PLACEHOLDER "127.0.0.1:0"
void listen_adopt(int fd, const struct conf_port *conf, struct stats_port *stats);

/* For decrypt.c: the last connection that this thread has accepted on a port with TLS; NULL: there
 * is none, or it has been taken already. */
struct connection *listen_take_accepted(void);

/* bind() for the core, of any socket; and accept4() for the core, of an adopted one. */
int listen_bind(int fd, const struct sockaddr *address, socklen_t length);
int listen_accept(struct listener *listener, struct sockaddr *address, socklen_t *length,
                  int flags);

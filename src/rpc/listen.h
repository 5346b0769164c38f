/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets that gRPC core did not make. The core of Debian 12 can only bind addresses
 * itself. Here it takes the sockets that the main process has given us, cannot lose a listener to a
 * full descriptor table, cannot shut down a socket that other processes share, keeps to the port's
 * limits of connections, leaves to other workers what is theirs (shared/balance.h), and can be told
 * to stop accepting.
 */

#include <stdbool.h>
#include <sys/socket.h>

struct conf_port;
struct connection;
struct epoll_event;
struct listener;
struct stats_port;

/*
 * The next bind() of this thread to LISTEN_PLACEHOLDER adopts fd, a listening socket, and closes
 * it: call grpc_server_add_http2_port() with that address right after. -1: none does. Its
 * connections keep to the limits of conf and are counted in stats, which both outlive them. [main]
 */
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

/* For decrypt.c: the connection of a port with TLS that this thread has accepted last, once; NULL:
 * none. */
struct connection *listen_take_accepted(void);

/* As bind() and accept4(), for the core: of any socket, and of one that bind() has adopted. */
int listen_bind(int fd, const struct sockaddr *address, socklen_t length);
int listen_accept(struct listener *listener, struct sockaddr *address, socklen_t *length,
                  int flags);

/* The core is about to wait for an adopted socket; or has closed it. */
void listen_wait(struct listener *listener, int epoll, const struct epoll_event *event);
void listen_close(struct listener *listener);

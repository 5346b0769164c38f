/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One gRPC port: a server of the core's, its methods, and the requests that are posted for them.
 * rpc_add_port() of rpc.h makes it.
 *
 * port.c and call.c use each other: a call that begins has the next request of its method posted,
 * and a posted request is a call.
 */

struct rpc;
struct rpc_method;
struct rpc_port;

/* Posts the first requests of every method. After the server has been started and before the
 * polling thread runs. [main] */
int port_post_requests(struct rpc_port *port);

/* A call has taken a posted request: posts another one for the method (NULL: for all methods that
 * are not registered), now or when there is memory for it. [polling thread] */
void port_post_next(struct rpc_port *port, const struct rpc_method *method);

/* Tries again to post the requests that could not be posted. [polling thread] */
void port_post_again(struct rpc *rpc);

void port_free(struct rpc_port *port);

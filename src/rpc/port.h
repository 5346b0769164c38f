/* SPDX-License-Identifier: MIT */
#pragma once

/* One port that is served: a server of the core's, its methods, and the requests that are posted
 * for them. rpc_add_port() of rpc.h makes it. */

struct rpc;
struct rpc_method;
struct rpc_port;

/* For every method, once the server has been started. Before the polling thread runs. */
int port_post_requests(struct rpc_port *port);

/* A call has begun on a request: another is posted for the method (NULL: for all that are not
 * registered), now or when there is memory for it. [polling] */
void port_post_next(struct rpc_port *port, const struct rpc_method *method);

/* Tries again to post what could not be posted. [polling] */
void port_post_again(struct rpc *rpc);

void port_free(struct rpc_port *port);

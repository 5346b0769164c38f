/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The gRPC side of a worker: a server per port, one thread that polls for all of them. Built once,
 * then it serves, then it is stopped. All functions are for the main thread, unless they say
 * otherwise.
 */

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct auth;
struct balance;
struct diag;
struct instance;
struct rpc;
struct stats;
struct tracer;

/*
 * Starts gRPC core, which starts threads: block signals before. conf, stats, auth and tracer must
 * outlive the rpc. auth: NULL if no port authenticates; tracer: NULL if nobody traces. `first`: of
 * several workers, this is the one that says in the log what all of them find.
 */
int rpc_new(struct rpc **ret, const struct conf *conf, const struct stats *stats, struct auth *auth,
            struct tracer *tracer, bool first);

/* rpc_step() must have said that all is over, or rpc_start() have failed or never been called. */
struct rpc *rpc_free(struct rpc *rpc);
DEFINE_CLEANUP(struct rpc *, rpc_free);

/*
 * Adds a port that is served on the listening socket fd; with fd < 0 it is only checked. instances:
 * one per brick of the configuration, in its order. Mistakes go to diag; -EINVAL then.
 */
int rpc_add_port(struct rpc *rpc, const struct conf_port *port, int fd, struct instance **instances,
                 struct diag *diag);

/* Of a conf that cannot be served anyway: what is wrong with the files of its ports. */
void rpc_look_for_mistakes(const struct conf *conf, struct diag *diag);

/* Accepts calls from now on, and of the connections of all workers its share. balance must live as
 * long as any descriptor is open. */
int rpc_start(struct rpc *rpc, struct balance *balance);

/* About every second, to the end: gives back memory, and gives up connections that are closed but
 * for bytes that nobody reads. While it `accepts`, takes connections that it could not before, and
 * certificates that have changed. */
void rpc_look(struct rpc *rpc, bool accepts);

/* Accepts no more connections, and tells the clients of those there are to make new ones; serves
 * on.
 */
void rpc_retire(struct rpc *rpc);

/* Connections that are open. [any] */
unsigned rpc_connections(const struct rpc *rpc);

/* Calls that have begun and not ended, on the wire or in a brick. [any] */
unsigned rpc_in_flight(const struct rpc *rpc);

/* Health says NOT_SERVING from now on; all is served on. */
void rpc_leave(struct rpc *rpc);

/* Begins to stop: no new connections, no new calls; clients are told. */
void rpc_stop(struct rpc *rpc);

/* Ends what still runs: clients see UNAVAILABLE, bricks see cancel(). Once rpc_stop() has been
 * called. */
void rpc_cancel(struct rpc *rpc);

/* After rpc_stop(), every few milliseconds: true once every server is down and every call has
 * ended. */
bool rpc_step(struct rpc *rpc);

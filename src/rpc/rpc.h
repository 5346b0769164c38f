/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The gRPC server of a worker: one server of the core's for each port, and one thread, the polling
 * thread, that serves all of them. It is built once, serves, and then stops. All functions are for
 * the main thread unless they say [any].
 */

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct auth;
struct balance;
struct diag;
struct explain_key;
struct guest;
struct instance;
struct rpc;
struct stats;
struct tracer;

/*
 * Starts gRPC core, which starts threads: block signals before. conf, stats, auth and tracer must
 * outlive the rpc. auth: NULL if no port authenticates; tracer: NULL if traces are off. `first`: of
 * several workers, this one logs what all of them find.
 */
int rpc_new(struct rpc **ret, const struct conf *conf, const struct stats *stats, struct auth *auth,
            struct tracer *tracer, bool first);

/* Before rpc_start(): the key that lets a caller have its calls explained. */
void rpc_set_explain_key(struct rpc *rpc, const struct explain_key *key);

/* Only after rpc_step() has returned true; or if rpc_start() has failed or was never called. */
struct rpc *rpc_free(struct rpc *rpc);
DEFINE_CLEANUP(struct rpc *, rpc_free);

/* Ends the threads of gRPC core, after rpc_free() and before conf is freed. It may wait for ever:
 * if the core could not start a thread, for lack of memory, it waits for that thread all the same.
 */
void rpc_shutdown(void);

/* The completion queue of all calls of bricks, which the polling thread waits on. rpc_free() waits
 * until it has handed out everything that was started on it. */
struct grpc_completion_queue *rpc_queue(const struct rpc *rpc);

/*
 * Adds a port that is served on the listening socket fd, which this function takes; fd < 0: the
 * port is only checked. instances: one for each brick of the configuration, in its order. -EINVAL:
 * there are mistakes, which are in diag.
 */
int rpc_add_port(struct rpc *rpc, const struct conf_port *port, int fd, struct instance **instances,
                 struct diag *diag);

/* Adds the mistakes in the files of a configuration's ports to diag. For a configuration that
 * cannot be served anyway. */
void rpc_check_ports(const struct conf *conf, struct diag *diag);

/* Another server shares the polling thread, as guest.h says. Before rpc_start(), once. Negative
 * errno. */
int rpc_set_guest(struct rpc *rpc, const struct guest *guest);

/* Accepts calls from now on, and its share of the connections of all workers. balance must live as
 * long as any descriptor is open. Negative errno. */
int rpc_start(struct rpc *rpc, struct balance *balance);

/* About every second, until rpc_free(): gives memory back, ends calls whose clients stall, and
 * closes connections whose last bytes nobody reads. While it `accepts`, also accepts connections
 * that it could not accept before, and reads certificates that have changed. */
void rpc_maintain(struct rpc *rpc, bool accepts);

/* After listeners_leave(): asks all clients by GOAWAY to reconnect. Calls are served. */
void rpc_goaway(struct rpc *rpc);

/* Whether the polling thread has taken every call that had come when this was asked first. To be
 * asked every few milliseconds, until it is so. [main] */
bool rpc_has_caught_up(struct rpc *rpc);

/* How many connections are open. [any] */
unsigned rpc_connections(const struct rpc *rpc);

/* How many calls have begun and not ended, on the wire or in a brick. [any] */
unsigned rpc_in_flight(const struct rpc *rpc);

/* Health is NOT_SERVING from now on. Everything is served. */
void rpc_lame_duck(struct rpc *rpc);

/* No new connections and no new calls: clients get GOAWAY. Running calls go on. */
void rpc_drain(struct rpc *rpc);

/* Cancels the running calls: clients see UNAVAILABLE, bricks see cancel(). After rpc_drain(). */
void rpc_cancel(struct rpc *rpc);

/* To be called every few milliseconds after rpc_drain(). True: every server is down and every call
 * has ended. */
bool rpc_step(struct rpc *rpc);

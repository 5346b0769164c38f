/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The HTTP server of a worker, the door: it serves the ports with `protocol: http`. It has no
 * thread of its own, but runs on the polling thread, as rpc/guest.h says. It is built once, serves,
 * and then stops. All functions are for the main thread, except where said.
 */

#include <stdbool.h>

#include "util/cleanup.h"

struct auth;
struct conf;
struct conf_port;
struct diag;
struct door;
struct instance;
struct explain_key;
struct stats;
struct tracer;

/*
 * conf, stats, auth and tracer must outlive it. auth: NULL if no port authenticates; tracer: NULL
 * if traces are off. `first`: of several workers, this one logs what all of them find.
 */
int door_new(struct door **ret, const struct conf *conf, const struct stats *stats,
             struct auth *auth, struct tracer *tracer, bool first);

/* Only after door_step() has returned true and the polling thread has ended; or if door_start() was
 * never called. */
struct door *door_free(struct door *door);
DEFINE_CLEANUP(struct door *, door_free);

/* Before door_start(): the key that lets a client have its calls explained. */
void door_set_explain_key(struct door *door, const struct explain_key *key);

/*
 * Adds a port that is served on the listening socket fd, which this function takes; fd < 0: the
 * port is only checked. instances: one for each brick of the configuration, in its order. -EINVAL:
 * there are mistakes, which are in diag.
 */
int door_add_port(struct door *door, const struct conf_port *port, int fd,
                  struct instance **instances, struct diag *diag);

/* The set that the polling thread is to watch. -1: there is no port. */
int door_epoll(const struct door *door);

/* Handles what is ready, for about 1 ms. True: more is ready. On the polling thread. */
bool door_run(void *door);

/* Accepts connections as soon as the polling thread runs. Negative errno. */
int door_start(struct door *door);

/* About every second, until door_free(): ends calls whose clients stall. While it `accepts`, also
 * reads certificates that have changed. */
void door_maintain(struct door *door, bool accepts);

/* The next answer on each connection is its last, and says so. Everything is served. */
void door_goaway(struct door *door);

/* Health is bad from now on. Everything is served. */
void door_lame_duck(struct door *door);

/* No new requests: idle connections are closed. Running calls go on. */
void door_drain(struct door *door);

/* Cancels the running calls. After door_drain(). */
void door_cancel(struct door *door);

/* After door_drain(). True: every connection is closed and every call has ended. */
bool door_step(const struct door *door);

/* How many calls have begun and not ended, for the client or in a brick. [any] */
unsigned door_in_flight(const struct door *door);

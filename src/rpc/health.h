/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * grpc.health.v1 for a port. The empty name stands for the worker: a client that asks for it wants
 * to know whether to send calls here, so it is SERVING even if a brick is not. A service is SERVING
 * if one of its bricks on the port is.
 */

#include <stddef.h>

#define HEALTH_SERVICE "grpc.health.v1.Health"

struct builtin_method;
struct instance;
struct rpc_port;

/* A name that clients may ask for: the worker, a service or a brick. */
struct health_name {
        const char *name;
        struct instance **bricks; /* one of which must be healthy */
        size_t n_bricks;          /* 0: it is the worker */
};

struct health_names {
        struct health_name *names;
        size_t n;
};

extern const struct builtin_method health_check;
extern const struct builtin_method health_watch;

/* The names of a port, whose routes must outlive them. -ENOMEM. */
int health_names_init(struct health_names *names, const struct rpc_port *port);
void health_names_done(struct health_names *names);

/* Calls `changed`, on any thread, when the health of one of the bricks changes: see
 * health_listen(). */
void health_names_listen(struct health_names *names, void (*changed)(void *user), void *user);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * grpc.health.v1: what of a port serves. The empty name is the worker as a whole: whoever asks for
 * it asks whether to send calls here, and one brick that is down is no reason not to. A service is
 * as healthy as the healthiest of its bricks on the port.
 */

#include <stddef.h>

#define HEALTH_SERVICE "grpc.health.v1.Health"

struct builtin_method;
struct instance;
struct rpc_port;

/* Something of a port that can be asked after. */
struct health_name {
        const char *name;
        struct instance **bricks; /* any of which must be healthy */
        size_t n_bricks;          /* 0: the worker as a whole */
};

struct health_names {
        struct health_name *names;
        size_t n;
};

extern const struct builtin_method health_check;
extern const struct builtin_method health_watch;

/* The names of a port: its routes, and what they point to, must outlive them. */
int health_names_init(struct health_names *names, const struct rpc_port *port);
void health_names_done(struct health_names *names);

/* Who is told when a brick among them changes: see health_listen(). */
void health_names_listen(struct health_names *names, void (*changed)(void *user), void *user);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which brick of a port answers for a service. One brick of a type: that one. Several: the one that
 * the request names by its metadata `x-brick`, else the one whose `match:` has the request's
 * model_id, else the default. Immutable once built; any thread may ask.
 */

#include <stdbool.h>
#include <stddef.h>

#include "brick.h"
#include "serve/service.h"

struct diag;
struct conf_port;
struct instance;

struct route {
        const struct service *service;
        struct instance **bricks; /* of this type, on this port; the default first */
        size_t n_bricks;          /* 0: the service is not registered */
};

/*
 * Finds the bricks of one type among those of a port. More than one, and not exactly one of them
 * the default and the others with a `match:`, or two that match the same: mistakes, in diag;
 * -EINVAL then.
 */
int route_init(struct route *route, const struct service *service, const struct conf_port *port,
               struct instance **instances, struct diag *diag);
void route_done(struct route *route);

/* name: the value of `x-brick`, with a NULL ptr if the request has none. NULL: no such brick. */
struct instance *route_find(const struct route *route, struct brick_str name,
                            struct brick_bytes request);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which brick of a port answers calls of a service. If there is one of the type: that one. If there
 * are several: the one that the metadata `x-brick` names, else the one whose `match:` has the
 * request's model_id, else the default. Immutable once built, so any thread may ask.
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
 * Finds the bricks of one type among those of a port. If there are several, exactly one must be the
 * default, the others must have a `match:`, and no two may match the same. -EINVAL: they do not,
 * and the mistakes are in diag.
 */
int route_init(struct route *route, const struct service *service, const struct conf_port *port,
               struct instance **instances, struct diag *diag);
void route_done(struct route *route);

/* Writes to the statistics of each brick which methods it offers. */
void route_show_methods(const struct route *route);

/* name: the value of `x-brick`; its ptr is NULL if the call has none. NULL: no brick has that name.
 */
struct instance *route_find(const struct route *route, struct brick_str name,
                            struct brick_bytes request);

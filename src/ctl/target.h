/* SPDX-License-Identifier: MIT */
#pragma once

/* Finds the target of a call from the command line, the configuration and a running brickd.
 */

#include "ctl/ctl.h"
#include "ctl/service.h"

struct target {
        char *address; /* in gRPC's form */
        struct rpc_tls tls;
        const struct service *service;
        const char *brick; /* NULL: the default brick of the service */
};

/* name: a brick or a service. CTL_OK, or the exit status after an error message. */
int target_find(const struct ctl *ctl, const char *name, struct target *ret);

/* name: a brick or a service; NULL: brickd itself, which leaves service and brick NULL. With
 * --address, a name that is not a service is a brick. */
int target_find_health(const struct ctl *ctl, const char *name, struct target *ret);
/* The URL of the page that a port serves for browsers. CTL_OK, or the exit status after an error
 * message. The caller frees *ret. */
int target_find_page(const struct ctl *ctl, char **ret);

void target_done(struct target *target);

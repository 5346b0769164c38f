/* SPDX-License-Identifier: MIT */
#pragma once

/* What a call goes to: found out from what the user says, the configuration and a running brickd.
 */

#include "ctl/ctl.h"
#include "ctl/service.h"

struct target {
        char *address; /* as gRPC takes it */
        struct rpc_tls tls;
        const struct service *service;
        const char *brick; /* NULL: whichever brick of that type is the default */
};

/* name: a brick, else a service. CTL_OK, or the exit status and all is said. */
int target_find(const struct ctl *ctl, const char *name, struct target *ret);

/* name: the same, or NULL for brickd as a whole: then neither service nor brick is set. With an
 * address given, a name that is no service is taken for a brick. */
int target_find_health(const struct ctl *ctl, const char *name, struct target *ret);
void target_done(struct target *target);

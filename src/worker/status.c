/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "rpc/rpc.h"
#include "worker/status.h"

char *status_json(const struct rpc *rpc)
{
        char *text;

        return asprintf(&text, "{\"connections\":%u,\"in_flight\":%u}", rpc_connections(rpc),
                        rpc_in_flight(rpc)) < 0
                       ? NULL
                       : text;
}

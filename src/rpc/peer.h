/* SPDX-License-Identifier: MIT */
#pragma once

/* Who makes a call. */

#include <grpc/grpc.h>

struct conf_port;

/* The client, or the proxy that does not say whose call it is: as serve/peer.h has it, for
 * gpr_free(). metadata: of the call. [any] */
char *rpc_peer_of(grpc_call *call, const grpc_metadata_array *metadata,
                  const struct conf_port *conf);

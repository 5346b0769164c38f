/* SPDX-License-Identifier: MIT */
#pragma once

/* The trailing metadata of an RPC: the brick's, and brickd's own. Lock held. */

#include <grpc/slice.h>
#include <stdint.h>

#include "brick.h"

struct call;
struct rpc_call;

/* transport->trailer(): one of the brick's. What the core would refuse is refused here, because a
 * refused batch cannot be tried again: -EINVAL; -E2BIG: there are too many. */
int rpc_trailer(struct call *base, struct brick_str key, struct brick_str value);

/* transport->find_trailer(). */
struct brick_str rpc_find_trailer(struct call *base, const char *key);

/* One of brickd's own; key is a constant. Takes the value, also if there is no memory. */
void rpc_add_trailer(struct rpc_call *call, const char *key, grpc_slice value);

/* Tells the client when to try again. */
void rpc_add_pushback(struct rpc_call *call, uint64_t ms);

/* Lock not needed: nobody else has the call. */
void rpc_drop_trailers(struct rpc_call *call);

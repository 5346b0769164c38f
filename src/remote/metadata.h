/* SPDX-License-Identifier: MIT */
#pragma once

/* The metadata of relayed calls. */

#include <grpc/grpc.h>
#include <stddef.h>

#include "remote/upstream.h"

/* More servers than this a call does not pass: they would call each other for ever. */
#define HOPS_MAX 8

/* What a backend is sent with a call. In memory of the call; the slices are the owner's. */
struct metadata {
        grpc_metadata *list;
        size_t n;
};

/*
 * Of the client's metadata, everything but what belongs to its connection, its proof of who it is,
 * and what names a brick of this server; besides, the trace, the hops and what the upstream adds.
 * -ENOMEM; -ELOOP: the call has passed HOPS_MAX servers.
 */
int metadata_collect(struct metadata *ret, const struct upstream *upstream,
                     struct brick_call *call);
void metadata_drop(struct metadata *metadata);

/* Passes what a backend has sent, headers or trailers, on as trailers of the call. */
void metadata_pass_on(const struct upstream *upstream, struct brick_call *call,
                      const grpc_metadata_array *from);

/* The value of a key; its ptr is NULL: there is none. */
struct brick_str metadata_find(const grpc_metadata_array *metadata, const char *key);

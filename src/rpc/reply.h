/* SPDX-License-Identifier: MIT */
#pragma once

/* Replies as bytes: the memory that goes on the wire, and what ends every good one. */

#include <grpc/slice.h>
#include <stdbool.h>
#include <stddef.h>

#include "module/call.h"

struct rpc_call;

/* The largest replies that are merged. A client that would have taken each must also take what they
 * become. */
#define RPC_MERGE_SIZE_MAX 4096

/* Larger replies are counted until the client has read them: see serve/unread.h. */
#define RPC_UNREAD_MIN ((size_t)16 * 1024)

/* Lies in the memory of its own slice, behind the bytes: one allocation for both. */
struct rpc_reply {
        struct reply base;
        grpc_slice slice;
        bool good;      /* sealed: ends with the method's `success` */
        size_t counted; /* once taken: what call_sent() gives back for it */
};

/* Of struct transport. */
struct reply *rpc_reply_new(struct call *base, size_t size);
static inline void rpc_reply_free(struct call *base, struct reply *reply)
{
        grpc_slice slice = ((struct rpc_reply *)reply)->slice; /* which the reply lies in */

        grpc_slice_unref(slice);
}
int rpc_reply_seal(struct call *base, struct reply *reply);

/* Queues the in-band error of the call's outcome as its last reply. Lock held. */
void rpc_queue_error(struct rpc_call *call);

/* Whether a reply of a stream may be merged with its neighbours. */
static inline bool rpc_reply_can_merge(const struct reply *reply)
{
        return reply && reply->size <= RPC_MERGE_SIZE_MAX &&
               ((const struct rpc_reply *)reply)->good;
}

/* Merges `first` and the replies behind it in the outbox, as far as they can be. Lock held. */
struct rpc_reply *rpc_merge_queued(struct rpc_call *call, struct rpc_reply *first);

/*
 * The bytes as the core gets them; the caller's. The reply is the core's from then on: its memory
 * is free once it is sent, and the next reply finds it in the cache. Bytes that fit into a slice
 * itself are copied there: the core joins such slices and sends fewer pieces.
 */
static inline grpc_slice rpc_reply_take(struct rpc_reply *reply)
{
        grpc_slice slice = reply->slice, copy;

        if (reply->base.size > GRPC_SLICE_INLINED_SIZE)
                return slice;
        copy = grpc_slice_from_copied_buffer((const char *)GRPC_SLICE_START_PTR(slice),
                                             reply->base.size);
        grpc_slice_unref(slice);
        return copy;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One RPC on the wire: the gRPC transport of module/call.h. This header has the struct that all its
 * files use. Of these files, each uses only those above it:
 *
 *   close.c      when the RPC is over
 *   trailers.c   trailing metadata
 *   reply.c      replies as bytes
 *   send.c       write batches
 *   request.c    the request, and messages of a stream of requests
 *   call.c       the life of an RPC, from the posted request to recycled memory
 *
 * A call has up to three batches under way, each with a tag of its own, and `tags` counts them:
 *
 *   close   armed once it is clear that the call is not answered within start(): it reports
 *           cancellation. A call that is answered there asks for it in its only batch
 *   write   one at a time: headers with the first, the status with the last
 *   read    one request message of a stream, when the brick asks for it
 *
 *   state          true from
 *   headers_sent   the first write batch
 *   write_posted   write_item is queued for the polling thread, which writes what a brick's
 *                  thread has sent: send.c
 *   writing        the start of a write batch, until it completes (in struct served)
 *   ending         the start of the write batch with the status
 *   closed         the close event, or the end of the write batch that asked for it
 *   ended          closed and no batch under way: the RPC is over, its line is logged, the
 *                  transport's reference is given up. The brick may still hold the call
 *
 * All events come on the polling thread. Brick threads start batches, under the call's lock: those
 * of blocking bricks any, others only reads. When the last reference is released, the memory
 * becomes the next posted request.
 */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <stdbool.h>
#include <stddef.h>

#include "rpc/batch.h"
#include "serve/served.h"

struct rpc;
struct rpc_port;
struct rpc_reply;

/* One method of one port. */
struct rpc_method {
        struct serve_method base;
        void *handle;    /* the core's */
        char success[5]; /* error { code: 200 } as it ends every good reply */
};

/* The core delivers the request with the call. */
static inline bool rpc_method_has_payload(const struct rpc_method *method)
{
        return method->base.method != BRICK_METHOD_INPUT_STREAMING &&
               method->base.method != BRICK_METHOD_BIDI_STREAMING;
}

struct rpc_call {
        struct served served;

        grpc_call *call;
        gpr_timespec deadline;
        grpc_metadata_array metadata;
        grpc_call_details details; /* of a call without a method */
        grpc_byte_buffer *payload;
        grpc_slice payload_slice; /* of a request that came in pieces */

        struct batch_tag on_new;
        struct batch_tag on_close;
        struct batch_tag on_write;
        struct batch_tag on_read;
        unsigned tags;
        int cancelled; /* set by the close event */

        bool close_armed;
        bool headers_sent;
        struct run_item late; /* queued: a large request is taken when others have been served */
        bool write_posted;
        struct run_item write_item;
        bool ending;
        bool closed;
        bool ended;
        bool empty;          /* it has come without its message, for which it is refused */
        bool outcome_queued; /* an in-band error has become the last reply, or a status */
        char error_code[12]; /* of one that has become a status: llmbrick's code as text */

        grpc_byte_buffer out;
        bool has_message; /* the write batch under way */
        size_t counted;   /* then: what call_sent() gives back for it */
        grpc_slice details_out;

        grpc_byte_buffer *incoming;
        grpc_slice incoming_slice;

        grpc_metadata *trailers; /* NULL until there is one; kept with the memory of the call */
        size_t n_trailers;
        size_t trailer_bytes; /* of the brick's */

        size_t unread;    /* bytes of its reply that rpc->unread counts */
        size_t requested; /* bytes of its request that rpc->requests counts */
        struct rpc_call *next_free;
};

static inline struct rpc_call *rpc_call_of(struct call *base)
{
        return (struct rpc_call *)base;
}

static inline struct rpc_port *rpc_port_of(const struct rpc_call *call)
{
        return (struct rpc_port *)call->served.port;
}

/* NULL: no method of brickd's. */
static inline const struct rpc_method *rpc_method_of(const struct rpc_call *call)
{
        return (const struct rpc_method *)call->served.method;
}

/* Starts a batch; false: as batch_start(). Lock held. */
static inline bool rpc_call_start_batch(struct rpc_call *call, const grpc_op *ops, size_t n,
                                        struct batch_tag *tag)
{
        if (!batch_start(call->call, ops, n, tag))
                return false;
        call->tags++;
        return true;
}

/* The number of its connection, which no other open one has. [any] */
static inline uintptr_t rpc_call_connection(const struct rpc_call *call)
{
        return batch_connection(call->call);
}

/* Posts a request for a method of a port (NULL: for all that are not registered). [polling thread,
 * or before it runs] */
int rpc_call_post(struct rpc_port *port, const struct rpc_method *method);

/* Frees the memory that is kept for calls. Once all have ended. */
void rpc_free_calls(struct rpc *rpc);

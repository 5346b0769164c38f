/* SPDX-License-Identifier: MIT */
#pragma once

/* What calls of bricks and brickd's own have in common: batches, by which gRPC core is asked to
 * send and receive; and the number of the connection. */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most operations that one batch has: close, headers, message, status. */
#define BATCH_OPS_MAX 4

/* What a completion queue gives back once a batch is done. */
struct batch_tag {
        void (*done)(void *owner, bool ok);
        void *owner;
};

/* False: the core has refused the batch, which only a bug of brickd can cause. That has been logged
 * and the call cancelled; no tag will come. [any] */
bool batch_start(grpc_call *call, const grpc_op *ops, size_t n, struct batch_tag *tag);

/* Handles an event of a completion queue. */
static inline void batch_done(const grpc_event *event)
{
        struct batch_tag *tag = event->tag;

        tag->done(tag->owner, event->success);
}

/*
 * The core has no event of an application's own. An empty batch of a call that is never made is
 * one: batch_start(bell, NULL, 0, tag) wakes the thread that waits on the queue. Release it by
 * grpc_call_unref(), before the queue is destroyed.
 */
grpc_call *batch_bell_new(grpc_completion_queue *queue);

/* The number of a call's connection, which no other open one has. [any] */
static inline uintptr_t batch_connection(grpc_call *call)
{
        grpc_auth_context *context = grpc_call_auth_context(call);

        /* The core makes one for each connection, encrypted or not, and the call holds it. */
        if (context)
                grpc_auth_context_release(context);
        return (uintptr_t)context;
}

/* The operations of a batch. */

static inline void batch_headers(grpc_op *op)
{
        *op = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
}

static inline void batch_message(grpc_op *op, grpc_byte_buffer *message, uint32_t flags)
{
        *op = (grpc_op){
                .op = GRPC_OP_SEND_MESSAGE,
                .flags = flags,
                .data.send_message.send_message = message,
        };
}

/* details must live until the batch is done; a status OK has none. */
static inline void batch_status(grpc_op *op, unsigned status, grpc_slice *details,
                                grpc_metadata *trailers, size_t n_trailers)
{
        *op = (grpc_op){
                .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                .data.send_status_from_server = {
                        .trailing_metadata_count = n_trailers,
                        .trailing_metadata = trailers,
                        .status = (grpc_status_code)status,
                        .status_details = status != GRPC_STATUS_OK ? details : NULL,
                },
        };
}

/* The end of the call: done once the client has everything, or has cancelled. */
static inline void batch_close(grpc_op *op, int *ret_cancelled)
{
        *op = (grpc_op){
                .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                .data.recv_close_on_server.cancelled = ret_cancelled,
        };
}

/* The next message; NULL: there is none, as the client has half-closed or the call is over. */
static inline void batch_receive(grpc_op *op, grpc_byte_buffer **ret)
{
        *op = (grpc_op){
                .op = GRPC_OP_RECV_MESSAGE,
                .data.recv_message.recv_message = ret,
        };
}

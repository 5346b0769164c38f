/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "module/instance.h"
#include "rpc/call.h"
#include "rpc/close.h"
#include "rpc/reply.h"
#include "rpc/request.h"
#include "rpc/send.h"
#include "rpc/server.h"
#include "rpc/trailers.h"
#include "serve/admission.h"
#include "serve/errors.h"
#include "serve/stats.h"
#include "util/clock.h"
#include "util/utf8.h"

/* The status message goes into a header, with three bytes for each that is not ASCII, and clients
 * accept 8 KiB of headers. */
#define STATUS_MESSAGE_MAX 2048

/* The same limit for the error that a status stands for, which goes there in base64. */
#define STATUS_DETAILS_MAX 3072

/* --- the outcome -------------------------------------------------------------------------------
 */

/* Lock held. Turns the in-band error of a brick into a gRPC status. */
static void raise_status(struct rpc_call *call)
{
        struct outcome *outcome = &call->served.base.outcome;
        unsigned status = errors_status(outcome->code);
        size_t size = errors_details_size(status, outcome);
        grpc_slice details;

        (void)snprintf(call->error_code, sizeof call->error_code, "%" PRId32, outcome->code);
        rpc_add_trailer(call, "x-brick-error-code",
                        grpc_slice_from_static_string(call->error_code));
        /* Not in the arena, which the brick may be using. */
        if (size <= STATUS_DETAILS_MAX) {
                details = grpc_slice_malloc(size);
                errors_put_details((char *)GRPC_SLICE_START_PTR(details), status, outcome);
                rpc_add_trailer(call, "grpc-status-details-bin", details);
        }
        call->served.raised = true;
        outcome->in_band = false;
        outcome->status = status;
}

/* Lock held. Whether the client wants gRPC statuses for in-band errors; its port decides for
 * clients that do not say. */
static bool wants_status(struct rpc_call *call)
{
        struct brick_str wish = call_metadata(&call->served.base, "x-brick-status");

        if (wish.len == 4 && memcmp(wish.ptr, "grpc", 4) == 0)
                return true;
        if (wish.len == 7 && memcmp(wish.ptr, "in-band", 7) == 0)
                return false;
        return call->served.port->conf->errors == ERRORS_STATUS;
}

/* Lock held. A large reply of a call that has only one is counted by count_unread(). */
static inline void count_finished(struct rpc_call *call)
{
        const struct call *base = &call->served.base;
        bool large = call_is_single(base) && base->outbox_bytes > RPC_UNREAD_MIN;
        size_t bytes = large ? 0 : base->outbox_bytes;

        stall_finished(&call->served.port->serve->stalls, &call->served.stall, bytes);
}

/* Lock held. The outcome is known: an error becomes the last reply, or the status. */
static void queue_outcome(struct rpc_call *call)
{
        struct call *base = &call->served.base;
        const struct outcome *outcome = &base->outcome;

        call->outcome_queued = true;
        if (call_is_single(base) && !outcome_is_success(outcome))
                call_drop_replies(base);
        if (outcome->in_band && wants_status(call))
                raise_status(call);
        else if (outcome->in_band)
                rpc_queue_error(call);
        count_finished(call);
}

/* --- operations --------------------------------------------------------------------------------
 */

static void put_message(grpc_op *op, struct rpc_call *call, struct rpc_reply *reply, uint32_t flags)
{
        call->has_message = true;
        call->counted = reply->counted;
        call->served.writing_size = reply->base.size;
        grpc_slice_buffer_add(&call->out.data.raw.slice_buffer, rpc_reply_take(reply));
        batch_message(op, &call->out, flags);
}

/* Freed with the call. */
static grpc_slice status_message(const struct brick_str *message)
{
        grpc_slice slice;
        size_t length;

        if (message->len <= STATUS_MESSAGE_MAX)
                return grpc_slice_from_static_buffer(message->ptr, message->len);
        slice = grpc_slice_malloc(STATUS_MESSAGE_MAX);
        length = utf8_repair((char *)GRPC_SLICE_START_PTR(slice), STATUS_MESSAGE_MAX, message->ptr,
                             message->len);
        GRPC_SLICE_SET_LENGTH(slice, length);
        return slice;
}

static void put_status(grpc_op *op, struct rpc_call *call)
{
        const struct outcome *outcome = &call->served.base.outcome;
        unsigned status = outcome->in_band ? GRPC_STATUS_OK : outcome->status;

        call->ending = true;
        if (call->served.retry_ms > 0)
                rpc_add_pushback(call, call->served.retry_ms);
        if (status != GRPC_STATUS_OK)
                call->details_out = status_message(&outcome->message);
        batch_status(op, status, &call->details_out, call->trailers, call->n_trailers);
}

/*
 * The write hint lets the core gather messages of a stream into few packets. It must not be on a
 * batch with headers, whose completion would then never come, nor on the last message before the
 * stream pauses, which nothing else would flush.
 */
static uint32_t write_flags(const struct rpc_call *call, bool with_headers, bool end)
{
        return !with_headers && !end && call->served.base.outbox ? GRPC_WRITE_BUFFER_HINT : 0;
}

/* --- unread replies ----------------------------------------------------------------------------
 */

/* Lock held. A large reply counts against its connection until the client has read it. */
static void count_unread(struct rpc_call *call)
{
        size_t size = call->served.writing_size;

        if (size > RPC_UNREAD_MIN &&
            unread_add(&rpc_port_of(call)->rpc->unread, rpc_call_connection(call), size))
                call->unread = size;
}

/* Lock held. */
static void discount_unread(struct rpc_call *call, bool read)
{
        unread_remove(&rpc_port_of(call)->rpc->unread, rpc_call_connection(call), call->unread,
                      read ? clock_now() : 0);
        call->unread = 0;
}

/* --- batches -----------------------------------------------------------------------------------
 */

/*
 * The replies of an async brick are written by the polling thread: such a brick has replies for
 * many calls at once, which then leave together. A thread of a blocking brick has one call, and
 * writes itself.
 */
static bool polling_thread_writes(const struct call *base)
{
        return !runner_is_here(&runner_polling) && !base->instance->blocking;
}

/* Lock held. A write that is under way starts the next itself. */
static void post_write(struct rpc_call *call)
{
        if (call->write_posted || call->served.writing)
                return;
        call->write_posted = true;
        call_ref(&call->served.base);
        runner_post(&runner_polling, &call->write_item);
}

/* Lock held. A call that was not answered in start() may still be answered before the polling
 * thread waits, by another brick that its brick has called: then its one batch asks for the close
 * as well. */
static bool arm_close_later(struct rpc_call *call)
{
        struct call *base = &call->served.base;

        if (!runner_is_here(&runner_polling) || (base->outbox && !call_is_single(base)))
                return false;
        if (!call->write_posted) {
                call->write_posted = true;
                call_ref(base);
                runner_post_last(&runner_polling, &call->write_item);
        }
        return true;
}

/* Lock held. The message of the batch has been sent, or never will be. */
static void end_message(struct rpc_call *call)
{
        call->has_message = false;
        call_sent(&call->served.base, call->counted);
}

/* Lock held. The core refused the batch and cancelled the call; the close event ends it. */
static void abandon_write(struct rpc_call *call)
{
        call->ending = true;
        grpc_slice_buffer_reset_and_unref(&call->out.data.raw.slice_buffer);
        if (call->has_message)
                end_message(call);
        if (call->unread > 0)
                discount_unread(call, false);
        if (!call->close_armed)
                rpc_arm_close(call);
}

/* Lock held. Takes what is to be written next out of the outbox; NULL: nothing is. */
static struct rpc_reply *next_reply(struct rpc_call *call)
{
        struct call *base = &call->served.base;
        struct rpc_reply *reply = (struct rpc_reply *)call_take_reply(base);

        if (!reply)
                return NULL;
        if (base->method == BRICK_METHOD_OUTPUT_STREAMING && base->instance->conf->merge &&
            rpc_reply_can_merge(&reply->base) && rpc_reply_can_merge(base->outbox))
                return rpc_merge_queued(call, reply);
        reply->counted = reply->base.size;
        return reply;
}

/* Lock held. Does what comes before a write. False: nothing is to be written here and now. */
static bool prepare_write(struct rpc_call *call)
{
        struct call *base = &call->served.base;

        if (call->closed || call->ending)
                return false;
        if (polling_thread_writes(base)) {
                post_write(call);
                return false;
        }
        if (base->settled && !call->outcome_queued)
                queue_outcome(call);
        if (!base->settled && !call->close_armed) {
                if (arm_close_later(call))
                        return false;
                rpc_arm_close(call);
        }
        return !call->served.writing && (base->settled || !call_is_single(base));
}

/* Lock held. The client is about to have its answer: what the call has taken of its limits is free
 * for the next call. */
static void release_for_next(struct rpc_call *call)
{
        admission_answer(&call->served);
        if (call->served.base.side == SIDE_DONE)
                rpc_discount_request(call);
}

void rpc_pump(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);
        bool with_headers = !call->headers_sent, end;
        struct rpc_reply *reply;
        grpc_op ops[BATCH_OPS_MAX];
        size_t n = 0;

        if (!prepare_write(call))
                return;
        reply = next_reply(call);
        end = base->settled && !base->outbox;
        if (!reply && !end)
                return;

        if (with_headers)
                batch_headers(&ops[n++]);
        call->headers_sent = true;
        call->served.writing_size = 0;
        if (reply)
                put_message(&ops[n++], call, reply, write_flags(call, with_headers, end));
        if (end) {
                release_for_next(call);
                put_status(&ops[n++], call);
                if (!call->close_armed)
                        batch_close(&ops[n++], &call->cancelled);
        }
        if (reply)
                count_unread(call);
        call->served.writing = rpc_call_start_batch(call, ops, n, &call->on_write);
        if (!call->served.writing)
                abandon_write(call);
        if (call->ending)
                call_forget(base);
}

/* --- events ------------------------------------------------------------------------------------
 */

void rpc_on_write(void *owner, bool ok)
{
        struct rpc_call *call = owner;
        struct call *base = &call->served.base;

        call_lock(base);
        call->tags--;
        call->served.writing = false;
        if (call->unread > 0)
                discount_unread(call, ok);
        grpc_slice_buffer_reset_and_unref(&call->out.data.raw.slice_buffer);
        if (call->has_message) {
                if (ok)
                        stats_sent(&call->served, call->served.writing_size);
                call->served.moves++;
                call->served.owes_reply = false;
                end_message(call);
        }
        if (call->ending && !call->close_armed)
                call->closed = true; /* the batch asked for the close as well */
        if (!ok) {
                call_drop_replies(base);
                /* A stream that was finished before its first write has not asked for it yet. */
                if (!call->ending && !call->close_armed)
                        rpc_arm_close(call);
        } else if (!call_gathers(base)) {
                rpc_pump(base);
        }
        rpc_unlock_and_end(call);
}

void rpc_run_write(struct run_item *item)
{
        struct rpc_call *call = CONTAINER_OF(item, struct rpc_call, write_item);
        struct call *base = &call->served.base;

        call_lock(base);
        call->write_posted = false;
        if (!base->settled && !call->close_armed && !call->closed)
                rpc_arm_close(call);
        rpc_pump(base);
        rpc_unlock_and_end(call);
        call_unref(base);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/instance.h"
#include "rpc/access.h"
#include "rpc/admission.h"
#include "rpc/call.h"
#include "rpc/errors.h"
#include "rpc/fault.h"
#include "rpc/gather.h"
#include "rpc/merge.h"
#include "rpc/port.h"
#include "rpc/server.h"
#include "rpc/stall.h"
#include "rpc/stats.h"
#include "rpc/trace.h"
#include "rpc/validate.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/utf8.h"

/* A gRPC message travels as a header, three bytes for each that is not ASCII, and clients accept 8
 * KiB. */
#define STATUS_MESSAGE_MAX 2048

/* The same for the error that a status stands for. */
#define STATUS_DETAILS_MAX 3072

/* Most messages that become one, and the largest of them: what they make together must not be more
 * than a client takes, each of whose messages it would have taken. */
#define MERGE_MAX 64
#define MERGE_SIZE_MAX 4096

/* A reply that nobody reads is worth counting. */
#define UNREAD_MIN ((size_t)64 * 1024)

/* A call with so large a request waits for others if the polling thread has not waited for so long.
 */
#define LATE_SIZE ((size_t)16 * 1024)
#define LATE_NS (5 * NSEC_PER_MSEC)

/* Most the core may ask of one batch: close, headers, message, status. */
#define OPS_MAX 4

static const struct transport rpc_transport;

static struct rpc_call *call_of(struct call *base)
{
        return (struct rpc_call *)base;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Lock held. The core refuses a batch only for reasons that are ours; the call is then beyond help.
 */
static bool start_batch(struct rpc_call *call, const grpc_op *ops, size_t n, struct rpc_tag *tag)
{
        grpc_call_error error = grpc_call_start_batch(call->call, ops, n, tag, NULL);

        if (error == GRPC_CALL_OK) {
                call->tags++;
                return true;
        }
        log_error("gRPC refused a batch: %s", grpc_call_error_to_string(error));
        (void)grpc_call_cancel(call->call, NULL);
        return false;
}

static void arm_close(struct rpc_call *call)
{
        grpc_op op = {
                .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                .data.recv_close_on_server.cancelled = &call->cancelled,
        };

        if (start_batch(call, &op, 1, &call->on_close))
                call->close_armed = true;
}

/* --- replies ---------------------------------------------------------------------------------- */

static void slice_shrink(grpc_slice *slice, size_t length)
{
        GRPC_SLICE_SET_LENGTH(*slice, length);
}

static struct rpc_reply *reply_alloc(size_t size)
{
        const size_t align = _Alignof(struct rpc_reply);
        grpc_slice slice = grpc_slice_malloc(size + align + sizeof(struct rpc_reply));
        uintptr_t end = (uintptr_t)GRPC_SLICE_START_PTR(slice) + size;
        struct rpc_reply *reply = (struct rpc_reply *)((end + align - 1) & ~(uintptr_t)(align - 1));

        *reply = (struct rpc_reply){ .base.data = GRPC_SLICE_START_PTR(slice), .slice = slice };
        return reply;
}

static struct reply *reply_new(struct call *base, size_t size)
{
        const struct rpc_method *method = call_of(base)->method;
        /* Room for what reply_seal() adds. */
        struct rpc_reply *reply = reply_alloc(size + sizeof method->success +
                                              method->route->service->empty_size);

        reply->base.size = size;
        return &reply->base;
}

static void reply_free(struct call *base, struct reply *reply)
{
        grpc_slice slice = ((struct rpc_reply *)reply)->slice;

        grpc_slice_unref(slice);
}

/* A good reply ends with `error { code: 200 }`, and a Struct that the brick left out is there,
 * empty. */
static int reply_seal(struct call *base, struct reply *r)
{
        struct rpc_call *call = call_of(base);
        const struct rpc_method *method = call->method;
        struct rpc_reply *reply = (struct rpc_reply *)r;
        char *bytes = (char *)GRPC_SLICE_START_PTR(reply->slice);
        const struct service *service = method->route->service;

        if (!validate_message(method->reply, bytes, r->size, method->error_field))
                return fault_of_reply(method->reply, bytes, r->size);
        if (r->size == 0 && service->empty_size > 0 &&
            method->method != BRICK_METHOD_SERVICE_INFO) {
                memcpy(bytes, service->empty, service->empty_size);
                r->size = service->empty_size;
        }
        memcpy(bytes + r->size, method->success, sizeof method->success);
        r->size += sizeof method->success;
        slice_shrink(&reply->slice, r->size);
        reply->good = true;
        return 0;
}

/* Lock held. The last reply of a call that failed in-band: the error and nothing else. */
static void queue_error(struct rpc_call *call)
{
        const struct outcome *outcome = &call->base.outcome;
        size_t size = errors_field_size(call->method->error_field, outcome);
        struct rpc_reply *reply = reply_alloc(size);

        errors_put_field(reply->base.data, call->method->error_field, outcome);
        reply->base.size = size;
        slice_shrink(&reply->slice, size);
        call_push_reply(&call->base, &reply->base);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Few calls have any, and room for the most is 3 KiB. Takes the slices, whatever comes of it. */
static int add_trailer(struct rpc_call *call, grpc_slice key, grpc_slice value)
{
        if (!call->trailers)
                call->trailers = calloc(RPC_TRAILERS_MAX + RPC_TRAILERS_OWN,
                                        sizeof *call->trailers);
        if (!call->trailers) {
                grpc_slice_unref(key);
                grpc_slice_unref(value);
                return -ENOMEM;
        }
        call->trailers[call->n_trailers++] = (grpc_metadata){ .key = key, .value = value };
        return 0;
}

static void add_own_trailer(struct rpc_call *call, const char *key, grpc_slice value)
{
        (void)add_trailer(call, grpc_slice_from_static_string(key), value);
}

/* Lock held. Turns the in-band error of a brick into a gRPC status. */
static void raise_status(struct rpc_call *call)
{
        struct outcome *outcome = &call->base.outcome;
        unsigned status = errors_status(outcome->code);
        size_t size = errors_details_size(status, outcome);
        grpc_slice details;

        (void)snprintf(call->error_code, sizeof call->error_code, "%" PRId32, outcome->code);
        add_own_trailer(call, "x-brick-error-code",
                        grpc_slice_from_static_string(call->error_code));
        /* The arena is the brick's, which may be using it. */
        if (size <= STATUS_DETAILS_MAX) {
                details = grpc_slice_malloc(size);
                errors_put_details((char *)GRPC_SLICE_START_PTR(details), status, outcome);
                add_own_trailer(call, "grpc-status-details-bin", details);
        }
        call->raised = true;
        outcome->in_band = false;
        outcome->status = status;
}

/* Lock held. The client wants gRPC statuses, or its port does for all who do not say. */
static bool wants_status(struct rpc_call *call)
{
        struct brick_str wish = call_metadata(&call->base, "x-brick-status");

        if (wish.len == 4 && memcmp(wish.ptr, "grpc", 4) == 0)
                return true;
        if (wish.len == 7 && memcmp(wish.ptr, "in-band", 7) == 0)
                return false;
        return call->port->conf->errors == ERRORS_STATUS;
}

/* Lock held. Once the outcome is known: what it means for the outbox. */
static void queue_outcome(struct rpc_call *call)
{
        struct call *base = &call->base;
        const struct outcome *outcome = &base->outcome;

        call->outcome_queued = true;
        if (call_is_single(base) && !outcome_is_success(outcome))
                call_drop_replies(base);
        if (!outcome->in_band)
                return;
        if (wants_status(call))
                raise_status(call);
        else
                queue_error(call);
}

static size_t op_headers(struct rpc_call *call, grpc_op *op)
{
        if (call->headers_sent)
                return 0;
        call->headers_sent = true;
        *op = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
        return 1;
}

/* What fits into a slice itself goes there: the core joins such slices and sends fewer pieces. */
static grpc_slice reply_slice(const struct rpc_reply *reply)
{
        return reply->base.size <= GRPC_SLICE_INLINED_SIZE
                       ? grpc_slice_from_copied_buffer(
                                 (const char *)GRPC_SLICE_START_PTR(reply->slice), reply->base.size)
                       : grpc_slice_ref(reply->slice);
}

static size_t op_message(struct rpc_call *call, grpc_op *op, uint32_t flags)
{
        grpc_slice_buffer_add(&call->out.data.raw.slice_buffer, reply_slice(call->written));
        *op = (grpc_op){
                .op = GRPC_OP_SEND_MESSAGE,
                .flags = flags,
                .data.send_message.send_message = &call->out,
        };
        return 1;
}

/* Freed with the call. */
static grpc_slice status_message(const struct brick_str *message)
{
        grpc_slice slice;

        if (message->len <= STATUS_MESSAGE_MAX)
                return grpc_slice_from_static_buffer(message->ptr, message->len);
        slice = grpc_slice_malloc(STATUS_MESSAGE_MAX);
        slice_shrink(&slice, utf8_repair((char *)GRPC_SLICE_START_PTR(slice), STATUS_MESSAGE_MAX,
                                         message->ptr, message->len));
        return slice;
}

static size_t op_status(struct rpc_call *call, grpc_op *op)
{
        const struct outcome *outcome = &call->base.outcome;
        unsigned status = outcome->in_band ? GRPC_STATUS_OK : outcome->status;

        call->ending = true;
        if (status != GRPC_STATUS_OK)
                call->details_out = status_message(&outcome->message);
        *op = (grpc_op){
                .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                .data.send_status_from_server = {
                        .trailing_metadata_count = call->n_trailers,
                        .trailing_metadata = call->trailers,
                        .status = (grpc_status_code)status,
                        .status_details = status != GRPC_STATUS_OK ? &call->details_out : NULL,
                },
        };
        return 1;
}

static size_t op_close(struct rpc_call *call, grpc_op *op)
{
        if (call->close_armed)
                return 0;
        *op = (grpc_op){
                .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                .data.recv_close_on_server.cancelled = &call->cancelled,
        };
        return 1;
}

/*
 * The write hint lets the core gather messages of a stream into few packets. It must not be on a
 * batch with headers, whose completion would then never come, nor on the last message before the
 * stream pauses, which nothing else would flush.
 */
static uint32_t write_flags(const struct rpc_call *call, bool with_headers, bool end)
{
        return !with_headers && !end && call->base.outbox ? GRPC_WRITE_BUFFER_HINT : 0;
}

static bool can_merge(const struct reply *reply)
{
        return reply && reply->size <= MERGE_SIZE_MAX && ((const struct rpc_reply *)reply)->good;
}

/* Lock held. The reply that `first` and those behind it make together. */
static struct rpc_reply *merge_queued(struct rpc_call *call, struct rpc_reply *first)
{
        const size_t success = sizeof call->method->success;
        struct call *base = &call->base;
        struct reply *parts[MERGE_MAX] = { &first->base };
        struct brick_bytes pieces[MERGE_MAX];
        size_t size = MERGE_EXTRA + success, counted = 0, n = 1;
        struct rpc_reply *merged;

        while (n < MERGE_MAX && can_merge(base->outbox))
                parts[n++] = call_take_reply(base);
        for (size_t i = 0; i < n; i++) {
                pieces[i] = (struct brick_bytes){ parts[i]->data, parts[i]->size - success };
                counted += parts[i]->size + CALL_REPLY_OVERHEAD;
                size += parts[i]->size;
        }

        merged = reply_alloc(size);
        size = merge_replies(merged->base.data, pieces, n);
        memcpy((char *)merged->base.data + size, call->method->success, success);
        merged->base.size = size + success;
        slice_shrink(&merged->slice, merged->base.size);
        merged->counted = counted - CALL_REPLY_OVERHEAD;
        for (size_t i = 0; i < n; i++)
                reply_free(base, parts[i]);
        return merged;
}

/* Lock held. What is to be written next. */
static struct rpc_reply *next_reply(struct rpc_call *call)
{
        struct call *base = &call->base;
        struct rpc_reply *reply = (struct rpc_reply *)call_take_reply(base);

        if (!reply)
                return NULL;
        if (base->method == BRICK_METHOD_OUTPUT_STREAMING && base->instance->conf->merge &&
            can_merge(&reply->base) && can_merge(base->outbox))
                return merge_queued(call, reply);
        reply->counted = reply->base.size;
        return reply;
}

uintptr_t rpc_call_connection(const struct rpc_call *call)
{
        grpc_auth_context *context = grpc_call_auth_context(call->call);

        /* The core makes one for each connection, encrypted or not, and the call holds it. */
        if (context)
                grpc_auth_context_release(context);
        return (uintptr_t)context;
}

/* Lock held. A large last reply counts against its connection; a connection can have only so many
 * small ones. */
static void count_unread(struct rpc_call *call)
{
        size_t size = call->written->base.size;

        if (size > UNREAD_MIN &&
            unread_add(&call->port->rpc->unread, rpc_call_connection(call), size))
                call->unread = size;
}

/* Lock held. */
static void discount_unread(struct rpc_call *call, bool read)
{
        unread_remove(&call->port->rpc->unread, rpc_call_connection(call), call->unread,
                      read ? clock_now() : 0);
        call->unread = 0;
}

/* Lock held. The core refused the batch and cancelled the call; the close event ends it. */
static void abandon_write(struct rpc_call *call)
{
        call->ending = true;
        grpc_slice_buffer_reset_and_unref(&call->out.data.raw.slice_buffer);
        if (call->written) {
                call_sent(&call->base, call->written->counted);
                reply_free(&call->base, &call->written->base);
                call->written = NULL;
        }
        if (call->unread > 0)
                discount_unread(call, false);
        if (!call->close_armed)
                arm_close(call);
}

/*
 * A brick with an event loop of its own has replies for many calls at once, which leave together if
 * the polling thread writes them. A blocking brick's thread has one call, and writes it itself.
 */
static bool needs_turn(const struct call *base)
{
        return !rpc_is_polling() && !base->instance->blocking;
}

/* Lock held. A write that is under way goes on by itself. */
static void ask_for_turn(struct rpc_call *call)
{
        if (call->turning || call->writing)
                return;
        call->turning = true;
        call_ref(&call->base);
        runner_post(&runner_polling, &call->turn);
}

/* Lock held. A call that was not answered in start() may be all the same before the polling thread
 * waits, when the brick has asked another: then its one batch asks for the close as well. */
static bool arm_close_later(struct rpc_call *call)
{
        if (!rpc_is_polling() || (call->base.outbox && !call_is_single(&call->base)))
                return false;
        if (!call->turning) {
                call->turning = true;
                call_ref(&call->base);
                runner_post_last(&runner_polling, &call->turn);
        }
        return true;
}

/* Lock held. */
static void pump(struct call *base)
{
        struct rpc_call *call = call_of(base);
        bool finished = base->settled, with_headers, end;
        grpc_op ops[OPS_MAX];
        size_t n = 0;

        if (call->closed || call->ending)
                return;
        if (needs_turn(base)) {
                ask_for_turn(call);
                return;
        }
        if (finished && !call->outcome_queued)
                queue_outcome(call);
        if (!finished && !call->close_armed) {
                if (arm_close_later(call))
                        return;
                arm_close(call);
        }
        if (call->writing || (call_is_single(base) && !finished))
                return;

        call->written = next_reply(call);
        end = finished && !base->outbox;
        if (!call->written && !end)
                return;

        with_headers = !call->headers_sent;
        n += op_headers(call, ops + n);
        if (call->written)
                n += op_message(call, ops + n, write_flags(call, with_headers, end));
        if (end) {
                n += op_status(call, ops + n);
                n += op_close(call, ops + n);
        }
        if (end && call->written)
                count_unread(call);
        call->writing = start_batch(call, ops, n, &call->on_write);
        if (!call->writing)
                abandon_write(call);
        if (call->ending)
                call_forget(base);
}

static void end_call(struct rpc_call *call);

/* Lock held; gives it up. */
static void unlock_and_end(struct rpc_call *call)
{
        bool over = call->closed && call->tags == 0 && !call->ended;

        if (over)
                call->ended = true;
        (void)pthread_mutex_unlock(&call->base.lock);
        if (over)
                end_call(call);
}

static unsigned end_status(const struct rpc_call *call, uint64_t now)
{
        if (call->expired || (call->cancelled && call->base.deadline <= now))
                return GRPC_STATUS_DEADLINE_EXCEEDED;
        if (call->cancelled)
                return GRPC_STATUS_CANCELLED;
        return call->base.outcome.in_band ? GRPC_STATUS_OK : call->base.outcome.status;
}

/* A brick may still be in a call that its client has given up: what it does next does not count. */
static void describe_stages(struct rpc_call *call, uint64_t now, struct rpc_end *end)
{
        struct call *base = &call->base;
        uint64_t given, settled;

        (void)pthread_mutex_lock(&base->lock);
        given = base->given_at;
        settled = base->settled_at;
        (void)pthread_mutex_unlock(&base->lock);
        if (settled == 0 || settled > now)
                settled = now;
        if (given == 0 || given > settled)
                given = settled;
        end->queued = given - base->started;
        end->brick = settled - given;
        end->writing = now - settled;
}

static struct rpc_end describe_end(struct rpc_call *call)
{
        const struct outcome *outcome = &call->base.outcome;
        uint64_t now = clock_now();
        unsigned status = end_status(call, now);
        bool in_band = (status == GRPC_STATUS_OK && outcome->in_band) ||
                       (call->raised && status == outcome->status);
        struct rpc_end end = {
                .status = status,
                .in_band = in_band,
                .code = in_band ? outcome->code : 200,
                .duration = now - call->base.started,
        };

        if (call->base.timed)
                describe_stages(call, now, &end);
        return end;
}

static void end_call(struct rpc_call *call)
{
        const struct rpc_end end = describe_end(call);

        deadlines_remove(&call->port->rpc->deadlines, call);
        stall_remove(call->port->rpc, call);
        stats_end(call, &end);
        access_log(call, &end);
        if (call->base.span.tracer)
                trace_end(call, &end);
        call_unref(&call->base);
}

static void on_write(struct rpc_call *call, bool ok)
{
        struct call *base = &call->base;

        (void)pthread_mutex_lock(&base->lock);
        call->tags--;
        call->writing = false;
        if (call->unread > 0)
                discount_unread(call, ok);
        grpc_slice_buffer_reset_and_unref(&call->out.data.raw.slice_buffer);
        if (call->written) {
                if (ok)
                        stats_sent(call, call->written->base.size);
                call->moves++;
                call->owes_reply = false;
                call_sent(base, call->written->counted);
                reply_free(base, &call->written->base);
                call->written = NULL;
        }
        if (call->ending && !call->close_armed)
                call->closed = true; /* the batch asked for the close as well */
        if (!ok) {
                call_drop_replies(base);
                /* A stream whose brick was done before its first reply left has not asked yet. */
                if (!call->ending && !call->close_armed)
                        arm_close(call);
        } else if (!call_gathers(base)) {
                pump(base);
        }
        unlock_and_end(call);
}

static void run_turn(struct run_item *item)
{
        struct rpc_call *call = CONTAINER_OF(item, struct rpc_call, turn);

        (void)pthread_mutex_lock(&call->base.lock);
        call->turning = false;
        if (!call->base.settled && !call->close_armed && !call->closed)
                arm_close(call);
        pump(&call->base);
        unlock_and_end(call);
        call_unref(&call->base);
}

static void on_close(struct rpc_call *call, bool ok)
{
        struct call *base = &call->base;

        (void)pthread_mutex_lock(&base->lock);
        call->closed = true;
        if (call->cancelled) {
                call_drop_replies(base);
                /* The call stays: `tags` still counts this event. */
                (void)pthread_mutex_unlock(&base->lock);
                call_cancel(base);
                (void)pthread_mutex_lock(&base->lock);
        }
        call->tags--;
        unlock_and_end(call);
}

void rpc_call_expire(struct rpc_call *call, const char *why)
{
        call_ref(&call->base);
        call->expired = true;
        (void)grpc_call_cancel_with_status(call->call, GRPC_STATUS_DEADLINE_EXCEEDED, why, NULL);
        call_cancel(&call->base);
        call_unref(&call->base);
}

/* --- receiving -------------------------------------------------------------------------------- */

/* The bytes of a buffer in one piece. If they are not, a copy, which *hold keeps alive, takes the
 * buffer's place. */
static struct brick_bytes buffer_bytes(grpc_byte_buffer **buffer, grpc_slice *hold)
{
        grpc_slice_buffer *slices = &(*buffer)->data.raw.slice_buffer;
        grpc_byte_buffer_reader reader;
        grpc_slice *slice = hold;

        if ((*buffer)->data.raw.compression == GRPC_COMPRESS_NONE && slices->count == 1) {
                slice = &slices->slices[0];
        } else if (grpc_byte_buffer_reader_init(&reader, *buffer)) {
                *hold = grpc_byte_buffer_reader_readall(&reader);
                grpc_byte_buffer_reader_destroy(&reader);
                grpc_byte_buffer_destroy(TAKE_PTR(*buffer));
        }
        return (struct brick_bytes){ GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice) };
}

/* Lock held. */
static void receive(struct call *base)
{
        struct rpc_call *call = call_of(base);
        grpc_op op = {
                .op = GRPC_OP_RECV_MESSAGE,
                .data.recv_message.recv_message = &call->incoming,
        };

        if (!call->closed)
                (void)start_batch(call, &op, 1, &call->on_read);
}

/* Lock held. */
static void release(struct call *base)
{
        struct rpc_call *call = call_of(base);

        grpc_byte_buffer_destroy(call->incoming);
        call->incoming = NULL;
        grpc_slice_unref(call->incoming_slice);
        call->incoming_slice = grpc_empty_slice();
}

/* llmbrick's handler would get an exception here; ours is told to give up. */
static void refuse_message(struct rpc_call *call)
{
        struct outcome outcome = outcome_exception(call->base.method, call->method->parse_error);

        call_refuse(&call->base, &outcome);
}

static void on_read(struct rpc_call *call, bool ok)
{
        struct call *base = &call->base;
        struct brick_bytes message;
        bool bad = false;

        (void)pthread_mutex_lock(&base->lock);
        if (call->incoming) {
                message = buffer_bytes(&call->incoming, &call->incoming_slice);
                stats_received(call, message.len);
                call->moves++;
                call->owes_reply = true;
                bad = !validate_message(call->method->request, message.ptr, message.len, 0);
                if (!bad)
                        call_deliver(base, &message);
        } else if (!grpc_call_failed_before_recv_message(call->call)) {
                /* Not the end of a stream that was cut: of that the close event tells. */
                call_deliver(base, NULL);
        }
        /* The call stays: `tags` still counts this event. */
        if (bad) {
                (void)pthread_mutex_unlock(&base->lock);
                refuse_message(call);
                (void)pthread_mutex_lock(&base->lock);
        }
        call->tags--;
        unlock_and_end(call);
}

/* Lock held. What was sent, or will be, has been taken from the outcome, or is the end of a call
 * without a reply. */
static bool needs_arena(const struct rpc_call *call)
{
        const struct outcome *outcome = &call->base.outcome;

        return call->base.destroy || call->n_trailers > 0 ||
               !(outcome_is_success(outcome) || (outcome->in_band && call->outcome_queued));
}

/* Lock held. Of the request stays what the lines about the call say of it. */
static void shorten_request(struct rpc_call *call)
{
        char digest[ACCESS_DIGEST_MAX];
        size_t length = access_digest(call, digest);

        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
        grpc_slice_unref(call->payload_slice);
        call->payload_slice = grpc_slice_from_copied_buffer(digest, length);
        call->base.request = (struct brick_bytes){ GRPC_SLICE_START_PTR(call->payload_slice),
                                                   length };
}

/* Lock held. A reply may wait long for its client: no large request shall wait with it. */
static void forget(struct call *base)
{
        struct rpc_call *call = call_of(base);

        if (call->ended)
                return; /* the lines are being made */
        if (!needs_arena(call)) {
                base->outcome.message = base->outcome.detail = brick_str("");
                arena_reset(&base->arena, SIZE_MAX);
        }
        shorten_request(call);
}

/* --- what the brick may ask ------------------------------------------------------------------- */

static struct brick_str slice_str(const grpc_slice *slice)
{
        return (struct brick_str){ (const char *)GRPC_SLICE_START_PTR(*slice),
                                   GRPC_SLICE_LENGTH(*slice) };
}

static bool metadata(struct call *base, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        const grpc_metadata_array *array = &call_of(base)->metadata;

        if (index >= array->count)
                return false;
        *ret_key = slice_str(&array->metadata[index].key);
        *ret_value = slice_str(&array->metadata[index].value);
        return true;
}

static struct brick_str peer(struct call *base)
{
        struct rpc_call *call = call_of(base);

        /* A brick that this one calls may ask at the same time. */
        (void)pthread_mutex_lock(&base->lock);
        if (!call->peer)
                call->peer = grpc_call_get_peer(call->call);
        (void)pthread_mutex_unlock(&base->lock);
        return brick_str(call->peer);
}

/* Lock held. What the core would refuse must not reach it: a refused batch cannot be tried again.
 */
static int trailer(struct call *base, struct brick_str key, struct brick_str value)
{
        struct rpc_call *call = call_of(base);
        grpc_slice key_slice = grpc_slice_from_static_buffer(key.ptr, key.len);
        grpc_slice value_slice = grpc_slice_from_static_buffer(value.ptr, value.len);

        if (call->n_trailers == RPC_TRAILERS_MAX ||
            call->trailer_bytes + key.len + value.len > RPC_TRAILER_BYTES_MAX)
                return -E2BIG;
        if (key.len == 0 || !grpc_header_key_is_legal(key_slice) || key.ptr[0] == ':' ||
            (key.len > 5 && memcmp(key.ptr, "grpc-", 5) == 0))
                return -EINVAL;
        if (!grpc_is_binary_header(key_slice) && !grpc_header_nonbin_value_is_legal(value_slice))
                return -EINVAL;
        call->trailer_bytes += key.len + value.len;
        /* Copies that do not lie in the arena: a brick may rewind that. */
        return add_trailer(call, grpc_slice_from_copied_buffer(key.ptr, key.len),
                           grpc_slice_from_copied_buffer(value.ptr, value.len));
}

static void drop_trailers(struct rpc_call *call)
{
        for (size_t i = 0; i < call->n_trailers; i++) {
                grpc_slice_unref(call->trailers[i].key);
                grpc_slice_unref(call->trailers[i].value);
        }
        call->n_trailers = 0;
}

/* --- the life of a call ----------------------------------------------------------------------- */

void rpc_call_push_back(struct rpc_call *call, uint64_t ms)
{
        char text[24];

        (void)snprintf(text, sizeof text, "%" PRIu64, ms);
        /* So short a copy is in the slice itself. */
        add_own_trailer(call, "grpc-retry-pushback-ms", grpc_slice_from_copied_string(text));
}

static void refuse(struct rpc_call *call, unsigned status, const char *message)
{
        const struct outcome outcome = { .status = status, .message = brick_str(message) };

        call_refuse(&call->base, &outcome);
}

static void party(struct call *base, struct share_party *ret)
{
        struct rpc_call *call = call_of(base);

        ret->connection = rpc_call_connection(call);
        admission_client(base->identity, peer(base), ret);
}

static void busy(struct call *base)
{
        struct rpc_call *call = call_of(base);

        stats_reject(call->port->stats, STATS_REJECTED_QUEUE);
        rpc_call_push_back(call, RPC_PUSHBACK_MS);
}

/* A client may ask for 11,000 years, which nanoseconds cannot say: then there is no deadline. */
static uint64_t deadline_ns(gpr_timespec deadline)
{
        if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0 ||
            deadline.tv_sec < 0 || (uint64_t)deadline.tv_sec >= UINT64_MAX / NSEC_PER_SEC)
                return UINT64_MAX;
        return (uint64_t)deadline.tv_sec * NSEC_PER_SEC + (uint64_t)deadline.tv_nsec;
}

/* The request of a call whose request is one message. False: it is none, and the call has been
 * refused. */
static bool take_request(struct rpc_call *call)
{
        struct brick_bytes request;

        if (call_has_request_stream(&call->base))
                return true;
        if (!call->payload) {
                refuse(call, GRPC_STATUS_INTERNAL, "The request has no message");
                return false;
        }
        request = buffer_bytes(&call->payload, &call->payload_slice);
        if (!validate_message(call->method->request, request.ptr, request.len, 0)) {
                refuse(call, GRPC_STATUS_UNKNOWN, call->method->request_error);
                return false;
        }
        call->base.request = request;
        return true;
}

static void set_deadline(struct rpc_call *call, const struct instance *instance)
{
        uint64_t own = instance->limits.timeout > 0
                               ? call->base.started + (uint64_t)instance->limits.timeout
                               : UINT64_MAX;

        if (own < call->base.deadline) {
                call->base.deadline = own;
                deadlines_add(&call->port->rpc->deadlines, call);
        }
}

/* The polling thread may enter the brick right here, unless such calls have a runner of their own.
 */
static void start(struct call *base)
{
        if (runner_is_here(base->runner)) {
                call_start(base);
        } else {
                call_watch(base);
                call_post_start(base);
        }
}

static void dispatch(struct rpc_call *call)
{
        struct call *base = &call->base;
        struct instance *instance;
        struct outcome outcome;

        if (unread_any(&call->port->rpc->unread) && !admission_listens(call, &outcome)) {
                call_refuse(base, &outcome);
                return;
        }
        if (!take_request(call)) {
                stats_reject(call->port->stats, STATS_REJECTED_REQUEST);
                return;
        }
        instance = route_find(call->method->route, call_metadata(base, "x-brick"), base->request);
        if (!admission_permit(call, instance, &outcome)) {
                call_refuse(base, &outcome);
                return;
        }
        if (!instance) {
                stats_reject(call->port->stats, STATS_REJECTED_BRICK);
                refuse(call, GRPC_STATUS_NOT_FOUND,
                       "No brick of this type has the name that x-brick asks for");
                return;
        }
        base->instance = instance;
        stats_begin(call);
        arena_limit(&base->arena, (size_t)instance->limits.arena);
        if (!(instance->brick->methods & (1u << base->method))) {
                outcome = outcome_no_handler(base->method);
                call_refuse(base, &outcome);
                return;
        }

        set_deadline(call, instance);
        stall_add(call->port->rpc, call);
        call_choose_runner(base);
        switch (instance_admit(instance, base)) {
        case ADMIT_START:
                start(base);
                break;
        case ADMIT_QUEUED:
                call_watch(base);
                break;
        case ADMIT_FULL:
                call_refuse_busy(base);
                break;
        case ADMIT_CLOSED:
                outcome = outcome_stopping();
                call_refuse(base, &outcome);
                break;
        }
}

/* A call that the client has made: who makes it, for whom it is, and off it goes. */
static void begin(struct rpc_call *call)
{
        struct outcome outcome;

        if (!admission_identify(call, &outcome)) {
                call_refuse(&call->base, &outcome);
        } else if (call->method) {
                dispatch(call);
        } else {
                stats_reject(call->port->stats, STATS_REJECTED_METHOD);
                refuse(call, GRPC_STATUS_UNIMPLEMENTED, "Method not found!");
        }
        call_unref(&call->base);
}

static void run_late(struct run_item *item)
{
        begin(CONTAINER_OF(item, struct rpc_call, late));
}

/* A large request costs milliseconds. When many have come at once, what others have sent is read
 * between one and the next. */
static bool is_late(const struct rpc_call *call)
{
        return call->payload && call->base.started - gather_waited() > LATE_NS &&
               grpc_byte_buffer_length(call->payload) >= LATE_SIZE;
}

static void on_new(struct rpc_call *call, bool ok)
{
        struct rpc *rpc = call->port->rpc;
        struct call *base = &call->base;

        if (!ok) {
                rpc_give_call(rpc, call);
                (void)atomic_fetch_sub(&rpc->posted, 1);
                return;
        }
        /* In this order, and rpc_step() looks in the other: never does a call count as neither. */
        (void)atomic_fetch_add(&rpc->in_flight, 1);
        (void)atomic_fetch_sub(&rpc->posted, 1);
        if (!atomic_load(&rpc->stopping))
                port_post_next(call->port, call->method);

        call_reset(base, NULL, call->method ? call->method->method : BRICK_METHOD_UNARY, 0);
        base->window = (size_t)call->port->conf->window;
        base->max_reply = (size_t)call->port->conf->max_reply;
        base->started = clock_now();
        base->deadline = deadline_ns(call->method ? call->deadline : call->details.deadline);
        call_ref(base);
        base->timed = rpc->conf->log_slow > 0;
        if (rpc->tracer)
                trace_begin(call);
        if (rpc->conf->log_access != ACCESS_OFF || base->timed)
                (void)peer(base); /* later the connection may be gone, and its name with it */
        if (is_late(call))
                runner_post_last(&runner_polling, &call->late);
        else
                begin(call);
}

/* The last reference is gone; on any thread. */
static void call_free(struct call *base)
{
        struct rpc_call *call = call_of(base);
        struct rpc *rpc = call->port->rpc;

        admission_leave(call);
        grpc_call_unref(call->call);
        drop_trailers(call);
        grpc_slice_unref(call->details_out);
        grpc_byte_buffer_destroy(call->payload);
        grpc_slice_unref(call->payload_slice);
        grpc_byte_buffer_destroy(call->incoming);
        grpc_slice_unref(call->incoming_slice);
        gpr_free(call->peer);
        arena_reset(&base->arena, 0);
        call->metadata.count = 0; /* the array is used again */
        if (!call->method) {
                grpc_call_details_destroy(&call->details);
                grpc_call_details_init(&call->details);
        }
        rpc_give_call(rpc, call);
        (void)atomic_fetch_sub(&rpc->in_flight, 1);
}

static struct rpc_call *rpc_call_new(void)
{
        struct rpc_call *call = calloc(1, sizeof *call);

        if (!call)
                return NULL;
        if (call_init(&call->base, &rpc_transport) < 0) {
                free(call);
                return NULL;
        }
        grpc_metadata_array_init(&call->metadata);
        grpc_call_details_init(&call->details);
        call->out.type = GRPC_BB_RAW;
        call->out.data.raw.compression = GRPC_COMPRESS_NONE;
        grpc_slice_buffer_init(&call->out.data.raw.slice_buffer);
        call->on_new = (struct rpc_tag){ on_new, call };
        call->on_close = (struct rpc_tag){ on_close, call };
        call->on_write = (struct rpc_tag){ on_write, call };
        call->on_read = (struct rpc_tag){ on_read, call };
        call->turn.run = run_turn;
        call->late.run = run_late;
        return call;
}

void rpc_call_destroy(struct rpc_call *call)
{
        grpc_slice_buffer_destroy(&call->out.data.raw.slice_buffer);
        grpc_call_details_destroy(&call->details);
        grpc_metadata_array_destroy(&call->metadata);
        call_done(&call->base);
        free(call->trailers);
        free(call);
}

int rpc_call_post(struct rpc_port *port, const struct rpc_method *method)
{
        grpc_completion_queue *queue = port->rpc->queue;
        struct rpc_call *call = rpc_take_call(port->rpc);
        grpc_call_error error;

        if (!call)
                call = rpc_call_new();
        if (!call)
                return -ENOMEM;

        call->port = port;
        call->method = method;
        call->call = NULL;
        call->payload = NULL;
        call->payload_slice = grpc_empty_slice();
        call->details_out = grpc_empty_slice();
        call->peer = NULL;
        call->tags = 0;
        call->cancelled = 0;
        call->close_armed = false;
        call->headers_sent = false;
        call->turning = false;
        call->writing = false;
        call->ending = false;
        call->closed = false;
        call->ended = false;
        call->expired = false;
        call->outcome_queued = false;
        call->raised = false;
        call->written = NULL;
        call->incoming = NULL;
        call->incoming_slice = grpc_empty_slice();
        call->n_trailers = 0;
        call->trailer_bytes = 0;
        call->deadline_index = 0;
        call->moves = 0;
        call->owes_reply = false;
        call->live_link = NULL;
        call->unread = 0;
        call->stats = NULL;
        call->last_sent = 0;
        call->who = NULL;
        call->counted = false;

        if (!method)
                error = grpc_server_request_call(port->server, &call->call, &call->details,
                                                 &call->metadata, queue, queue, &call->on_new);
        else
                error = grpc_server_request_registered_call(
                        port->server, method->handle, &call->call, &call->deadline, &call->metadata,
                        rpc_method_has_payload(method) ? &call->payload : NULL, queue, queue,
                        &call->on_new);
        if (error != GRPC_CALL_OK) {
                rpc_give_call(port->rpc, call);
                return -EIO;
        }
        (void)atomic_fetch_add(&port->rpc->posted, 1);
        return 0;
}

static const struct transport rpc_transport = {
        .reply_new = reply_new,
        .reply_free = reply_free,
        .reply_seal = reply_seal,
        .pump = pump,
        .receive = receive,
        .release = release,
        .metadata = metadata,
        .peer = peer,
        .trailer = trailer,
        .party = party,
        .busy = busy,
        .forget = forget,
        .free = call_free,
};

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>

#include "rpc/call.h"
#include "rpc/close.h"
#include "rpc/credentials.h"
#include "rpc/explain.h"
#include "rpc/late.h"
#include "rpc/peer.h"
#include "rpc/port.h"
#include "rpc/reply.h"
#include "rpc/request.h"
#include "rpc/send.h"
#include "rpc/server.h"
#include "rpc/trailers.h"
#include "serve/admission.h"
#include "serve/budget.h"
#include "serve/dispatch.h"
#include "serve/genai.h"
#include "util/account.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* Smaller requests are not counted: limits.streams bounds what they hold. */
#define REQUEST_COUNTED ((size_t)64 * 1024)

static const struct transport rpc_transport;

/* --- what the brick may ask --------------------------------------------------------------------
 */

static struct brick_str slice_str(const grpc_slice *slice)
{
        return (struct brick_str){ (const char *)GRPC_SLICE_START_PTR(*slice),
                                   GRPC_SLICE_LENGTH(*slice) };
}

static bool rpc_metadata(struct call *base, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value)
{
        const grpc_metadata_array *array = &rpc_call_of(base)->metadata;

        if (index >= array->count)
                return false;
        *ret_key = slice_str(&array->metadata[index].key);
        *ret_value = slice_str(&array->metadata[index].value);
        return true;
}

static struct brick_str rpc_peer(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);

        /* A brick that this one calls may ask at the same time. */
        call_lock(base);
        if (!call->served.peer)
                call->served.peer = rpc_peer_of(call->call, &call->metadata,
                                                call->served.port->conf);
        call_unlock(base);
        return brick_str(call->served.peer);
}

static void rpc_party(struct call *base, struct share_party *ret)
{
        ret->connection = rpc_call_connection(rpc_call_of(base));
        admission_client(base->identity, rpc_peer(base), ret);
}

static void rpc_busy(struct call *base)
{
        struct served *served = &rpc_call_of(base)->served;

        stats_reject(served->port->stats, STATS_REJECTED_QUEUE);
        served->retry_ms = SERVED_RETRY_MS;
}

/* --- memory ------------------------------------------------------------------------------------
 */

/* More than are under way at most times; the memory of a burst goes back to the system. */
#define CALLS_KEPT 1024

/* Memory for a call; NULL: none is kept. [polling thread, or before it runs] */
static struct rpc_call *take(struct rpc *rpc)
{
        struct rpc_call *call;

        if (!rpc->free)
                rpc->free = atomic_exchange_explicit(&rpc->returned, NULL, memory_order_acquire);
        call = rpc->free;
        if (call) {
                rpc->free = call->next_free;
                (void)atomic_fetch_sub_explicit(&rpc->kept, 1, memory_order_relaxed);
        }
        return call;
}

static void destroy(struct rpc_call *call)
{
        grpc_slice_buffer_destroy(&call->out.data.raw.slice_buffer);
        grpc_call_details_destroy(&call->details);
        grpc_metadata_array_destroy(&call->metadata);
        call_done(&call->served.base);
        free(call->trailers);
        free(call);
}

/* Keeps the memory of a call for the next one. [any] */
static void give(struct rpc *rpc, struct rpc_call *call)
{
        if (atomic_fetch_add_explicit(&rpc->kept, 1, memory_order_relaxed) >= CALLS_KEPT) {
                (void)atomic_fetch_sub_explicit(&rpc->kept, 1, memory_order_relaxed);
                destroy(call);
                return;
        }
        if (runner_is_here(&runner_polling)) {
                call->next_free = rpc->free;
                rpc->free = call;
                return;
        }
        call->next_free = atomic_load_explicit(&rpc->returned, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&rpc->returned, &call->next_free, call,
                                                      memory_order_release, memory_order_relaxed))
                ;
}

void rpc_free_calls(struct rpc *rpc)
{
        struct rpc_call *call;

        while ((call = take(rpc)))
                destroy(call);
}

/* transport->free(). [any] */
static void rpc_call_free(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);
        struct rpc *rpc = rpc_port_of(call)->rpc;

        rpc_discount_request(call);
        grpc_call_unref(call->call);
        admission_release(&call->served); /* after the core, which has the message of a refusal */
        if (call->n_trailers > 0)
                rpc_drop_trailers(call);
        grpc_slice_unref(call->details_out);
        grpc_byte_buffer_destroy(call->payload);
        grpc_slice_unref(call->payload_slice);
        grpc_byte_buffer_destroy(call->incoming);
        grpc_slice_unref(call->incoming_slice);
        gpr_free((char *)call->served.peer);
        arena_reset(&base->arena, 0);
        call->metadata.count = 0; /* the array is used again */
        if (!call->served.method) {
                grpc_call_details_destroy(&call->details);
                grpc_call_details_init(&call->details);
        }
        give(rpc, call);
        (void)atomic_fetch_sub(&rpc->in_flight, 1);
}

/* --- a call begins -----------------------------------------------------------------------------
 */

/* A client may ask for 11,000 years, more than fits into nanoseconds: then there is no deadline. */
static uint64_t deadline_ns(gpr_timespec deadline)
{
        if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0 ||
            deadline.tv_sec < 0 || (uint64_t)deadline.tv_sec >= UINT64_MAX / NSEC_PER_SEC)
                return UINT64_MAX;
        return (uint64_t)deadline.tv_sec * NSEC_PER_SEC + (uint64_t)deadline.tv_nsec;
}

/* False: the call is to be refused. */
static bool identify(struct rpc_call *call, struct outcome *ret)
{
        struct credentials credentials;
        bool ok;

        credentials_take(&credentials, call->call, &call->metadata);
        ok = admission_identify(&call->served, AUTH_CALLS, &credentials.proof, ret);
        credentials_done(&credentials);
        return ok;
}

/* False: the client has too many replies to read, and the call has been refused. */
static bool reads_replies(struct rpc_call *call)
{
        static const char why[] = "The client has too many replies to read";
        struct rpc *rpc = rpc_port_of(call)->rpc;
        struct served *served = &call->served;

        if (!unread_is_too_much(&rpc->unread, rpc_call_connection(call), served->base.max_reply,
                                served->base.started))
                return true;
        stall_log(served, why);
        stats_reject(served->port->stats, STATS_REJECTED_UNREAD);
        served->retry_ms = SERVED_RETRY_MS;
        served_refuse(served, STATUS_RESOURCE_EXHAUSTED, why);
        return false;
}

static void dispatch(struct rpc_call *call)
{
        if (unread_any(&rpc_port_of(call)->rpc->unread) && !reads_replies(call))
                return;
        if (rpc_take_request(call))
                served_dispatch(&call->served);
        else if (!call->empty)
                stats_reject(call->served.port->stats, STATS_REJECTED_REQUEST);
}

/* Authenticates the call and hands it to its brick. */
static void begin(struct rpc_call *call)
{
        struct served *served = &call->served;
        struct outcome outcome;

        explain_check(&call->metadata, rpc_port_of(call)->rpc->explain_key);
        if (served->port->conf->authenticate != AUTHENTICATE_OFF && !identify(call, &outcome)) {
                call_refuse(&served->base, &outcome);
        } else if (served->method) {
                dispatch(call);
        } else {
                stats_reject(served->port->stats, STATS_REJECTED_METHOD);
                served_refuse(served, STATUS_UNIMPLEMENTED, "Method not found!");
        }
        call_unref(&served->base);
}

static void run_begin(struct run_item *item)
{
        if (!late_put_off(item))
                begin(CONTAINER_OF(item, struct rpc_call, late));
}

/* False: the connection, or all of them, have too many large requests. */
static bool take_memory(struct rpc_call *call, size_t size)
{
        struct unread *requests = &rpc_port_of(call)->rpc->requests;
        uintptr_t connection = rpc_call_connection(call);

        if (!unread_has_room(requests, connection, size,
                             (size_t)call->served.port->conf->max_unfinished) ||
            !account_take(size, 0))
                return false;
        if (unread_add(requests, connection, size))
                call->requested = size;
        else
                account_give(size);
        return true;
}

/* Counts a large request until its brick has finished the call. False: there are too many of them,
 * and the call has been refused. */
static bool count_request(struct rpc_call *call)
{
        struct served *served = &call->served;

        if (take_memory(call, late_size(call->payload)))
                return true;
        stats_reject(served->port->stats, STATS_REJECTED_MEMORY);
        served->retry_ms = SERVED_RETRY_MS;
        served_refuse(served, STATUS_RESOURCE_EXHAUSTED, "Too many large requests at a time");
        return false;
}

/* Whether the client had gone before its request was complete, or the core has refused it for its
 * size: nobody waits for an answer. */
static bool is_abandoned(const struct rpc_call *call)
{
        const struct rpc_method *method = rpc_method_of(call);

        return !call->payload && method && rpc_method_has_payload(method) &&
               grpc_call_failed_before_recv_message(call->call);
}

/* A client may leave thousands of such calls at once: each costs as little as it can. */
static void drop(struct rpc_call *call)
{
        stats_reject(call->served.port->stats, STATS_REJECTED_INCOMPLETE);
        grpc_call_unref(call->call);
        call->metadata.count = 0;
        give(rpc_port_of(call)->rpc, call);
}

static void on_new(void *owner, bool ok)
{
        struct rpc_call *call = owner;
        struct rpc *rpc = rpc_port_of(call)->rpc;
        struct served *served = &call->served;

        if (!ok) {
                give(rpc, call);
                (void)atomic_fetch_sub(&rpc->posted, 1);
                return;
        }
        /* rpc_step() reads them in the other order, so a call always counts as one of both. */
        (void)atomic_fetch_add(&rpc->in_flight, 1);
        (void)atomic_fetch_sub(&rpc->posted, 1);
        if (!atomic_load(&rpc->draining))
                port_post_next(rpc_port_of(call), rpc_method_of(call));
        if (is_abandoned(call)) {
                drop(call);
                (void)atomic_fetch_sub(&rpc->in_flight, 1);
                return;
        }

        served_begin(served, deadline_ns(served->method ? call->deadline : call->details.deadline));
        call_ref(&served->base);
        call->late.run = run_begin;
        if (late_size(call->payload) >= REQUEST_COUNTED && !count_request(call))
                call_unref(&served->base);
        else if (!late_post(&call->late, call->payload))
                begin(call);
}

/* --- posted requests ---------------------------------------------------------------------------
 */

static struct rpc_call *rpc_call_new(void)
{
        struct rpc_call *call = calloc(1, sizeof *call);

        if (!call)
                return NULL;
        if (call_init(&call->served.base, &rpc_transport) < 0) {
                free(call);
                return NULL;
        }
        grpc_metadata_array_init(&call->metadata);
        grpc_call_details_init(&call->details);
        call->out.type = GRPC_BB_RAW;
        call->out.data.raw.compression = GRPC_COMPRESS_NONE;
        grpc_slice_buffer_init(&call->out.data.raw.slice_buffer);
        call->on_new = (struct batch_tag){ on_new, call };
        call->on_close = (struct batch_tag){ rpc_on_close, call };
        call->on_write = (struct batch_tag){ rpc_on_write, call };
        call->on_read = (struct batch_tag){ rpc_on_read, call };
        call->write_item.run = rpc_run_write;
        return call;
}

static void reset(struct rpc_call *call)
{
        call->call = NULL;
        call->payload = NULL;
        call->payload_slice = grpc_empty_slice();
        call->details_out = grpc_empty_slice();
        call->tags = 0;
        call->cancelled = 0;
        call->close_armed = false;
        call->headers_sent = false;
        call->write_posted = false;
        call->ending = false;
        call->closed = false;
        call->ended = false;
        call->empty = false;
        call->outcome_queued = false;
        call->has_message = false;
        call->incoming = NULL;
        call->incoming_slice = grpc_empty_slice();
        call->n_trailers = 0;
        call->trailer_bytes = 0;
        call->unread = call->requested = 0;
}

int rpc_call_post(struct rpc_port *port, const struct rpc_method *method)
{
        grpc_completion_queue *queue = port->rpc->queue;
        struct rpc_call *call = take(port->rpc);
        grpc_call_error error;

        if (!call)
                call = rpc_call_new();
        if (!call)
                return -ENOMEM;

        reset(call);
        call->served.port = &port->base;
        call->served.method = method ? &method->base : NULL;
        if (!method)
                error = grpc_server_request_call(port->server, &call->call, &call->details,
                                                 &call->metadata, queue, queue, &call->on_new);
        else
                error = grpc_server_request_registered_call(
                        port->server, method->handle, &call->call, &call->deadline, &call->metadata,
                        rpc_method_has_payload(method) ? &call->payload : NULL, queue, queue,
                        &call->on_new);
        if (error != GRPC_CALL_OK) {
                give(port->rpc, call);
                return -EIO;
        }
        (void)atomic_fetch_add(&port->rpc->posted, 1);
        return 0;
}

static const struct transport rpc_transport = {
        .reply_new = rpc_reply_new,
        .reply_free = rpc_reply_free,
        .reply_seal = rpc_reply_seal,
        .pump = rpc_pump,
        .receive = rpc_receive,
        .release = rpc_release,
        .metadata = rpc_metadata,
        .peer = rpc_peer,
        .trailer = rpc_trailer,
        .find_trailer = rpc_find_trailer,
        .party = rpc_party,
        .child_ended = budget_child_ended,
        .describe_child = genai_of_child,
        .busy = rpc_busy,
        .forget = rpc_forget,
        .free = rpc_call_free,
};

/* SPDX-License-Identifier: MIT */
#include <grpc/byte_buffer_reader.h>

#include "rpc/call.h"
#include "rpc/close.h"
#include "rpc/late.h"
#include "rpc/request.h"
#include "rpc/server.h"
#include "serve/access.h"
#include "serve/dispatch.h"
#include "serve/stats.h"
#include "serve/validate.h"
#include "util/account.h"
#include "util/cleanup.h"

/* The bytes of a buffer in one piece. If they are in several, *hold gets a copy, and the buffer is
 * freed. */
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

bool rpc_take_request(struct rpc_call *call)
{
        const struct serve_method *method = call->served.method;
        struct call *base = &call->served.base;
        struct brick_bytes request;

        if (call_has_request_stream(base))
                return true;
        if (!call->payload) {
                call->empty = true;
                served_refuse(&call->served, STATUS_INTERNAL, "The request has no message");
                return false;
        }
        request = buffer_bytes(&call->payload, &call->payload_slice);
        if (!validate_message(method->request, request.ptr, request.len, 0)) {
                served_refuse(&call->served, STATUS_UNKNOWN, method->request_error);
                return false;
        }
        base->request = request;
        return true;
}

/* --- messages of a stream ----------------------------------------------------------------------
 */

void rpc_receive(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);
        grpc_op op;

        if (call->closed)
                return;
        batch_receive(&op, &call->incoming);
        (void)rpc_call_start_batch(call, &op, 1, &call->on_read);
}

void rpc_release(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);

        grpc_byte_buffer_destroy(TAKE_PTR(call->incoming));
        grpc_slice_unref(call->incoming_slice);
        call->incoming_slice = grpc_empty_slice();
}

/* llmbrick's handler would get an exception here; a brick of brickd is told to give up. */
static void refuse_message(struct rpc_call *call)
{
        struct call *base = &call->served.base;
        struct outcome outcome = outcome_exception(base->method, call->served.method->parse_error);

        call_refuse(base, &outcome);
}

/* Lock held. False: the message cannot be parsed. */
static bool deliver(struct rpc_call *call)
{
        struct brick_bytes message = buffer_bytes(&call->incoming, &call->incoming_slice);

        stats_received(&call->served, message.len);
        call->served.moves++;
        call->served.owes_reply = true;
        if (!validate_message(call->served.method->request, message.ptr, message.len, 0))
                return false;
        call_deliver(&call->served.base, &message);
        return true;
}

static void take_message(struct rpc_call *call)
{
        struct call *base = &call->served.base;

        call_lock(base);
        if (call->incoming) {
                if (!deliver(call)) {
                        /* The call cannot end meanwhile: `tags` still counts this event. */
                        call_unlock(base);
                        refuse_message(call);
                        call_lock(base);
                }
        } else if (!grpc_call_failed_before_recv_message(call->call)) {
                /* The client has half-closed. Of a stream that was cut off, the close event tells.
                 */
                call_deliver(base, NULL);
        }
        call->tags--;
        rpc_unlock_and_end(call);
}

static void run_take_message(struct run_item *item)
{
        if (!late_put_off(item))
                take_message(CONTAINER_OF(item, struct rpc_call, late));
}

void rpc_on_read(void *owner, bool ok)
{
        struct rpc_call *call = owner;

        call->late.run = run_take_message;
        if (!late_post(&call->late, call->incoming))
                take_message(call);
}

/* --- giving memory back ------------------------------------------------------------------------
 */

/* Lock held. Whether the outcome's strings, which lie in the arena, are still to be read. */
static bool needs_arena(const struct rpc_call *call)
{
        const struct call *base = &call->served.base;
        const struct outcome *outcome = &base->outcome;

        return base->destroy || call->n_trailers > 0 ||
               !(outcome_is_success(outcome) || (outcome->in_band && call->outcome_queued));
}

void rpc_discount_request(struct rpc_call *call)
{
        if (call->requested == 0)
                return;
        unread_remove(&rpc_port_of(call)->rpc->requests, rpc_call_connection(call), call->requested,
                      0);
        account_give(call->requested);
        call->requested = 0;
}

/* Lock held. Keeps of the request what the lines about the call say of it. */
static void shorten_request(struct rpc_call *call)
{
        char digest[ACCESS_DIGEST_MAX];
        size_t length = access_digest(&call->served, digest);

        rpc_discount_request(call);
        grpc_byte_buffer_destroy(TAKE_PTR(call->payload));
        grpc_slice_unref(call->payload_slice);
        call->payload_slice = grpc_slice_from_copied_buffer(digest, length);
        call->served.base.request = (struct brick_bytes){
                GRPC_SLICE_START_PTR(call->payload_slice),
                length,
        };
}

/* A reply may wait long for its client: no large request is to wait with it. */
void rpc_forget(struct call *base)
{
        struct rpc_call *call = rpc_call_of(base);

        if (call->ended)
                return; /* the polling thread reads both for the lines, without the lock */
        if (!needs_arena(call)) {
                base->outcome.message = base->outcome.detail = brick_str("");
                arena_reset(&base->arena, SIZE_MAX);
        }
        shorten_request(call);
}

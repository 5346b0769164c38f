/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "rpc/builtin.h"
#include "rpc/credentials.h"
#include "rpc/peer.h"
#include "serve/access.h"
#include "serve/admission.h"
#include "serve/auth.h"
#include "serve/validate.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

/* The part of the calls with unread ends that end early when there are too many. */
#define UNREAD_ROOM 32

/* --- batches ---------------------------------------------------------------------------------- */

static bool start_batch(struct builtin_call *call, const grpc_op *ops, size_t n,
                        struct batch_tag *tag)
{
        if (batch_start(call->call, ops, n, tag)) {
                call->tags++;
                return true;
        }
        call->closed = call->closed || !call->close_armed;
        return false;
}

/* A stream hears early that its client has disconnected; a unary call asks in its only batch. */
static void arm_close(struct builtin_call *call)
{
        grpc_op op;

        batch_close(&op, &call->cancelled);
        call->close_armed = true;
        call->close_armed = start_batch(call, &op, 1, &call->on_close);
}

static void read_message(struct builtin_call *call)
{
        grpc_op op;

        batch_receive(&op, &call->request);
        (void)start_batch(call, &op, 1, &call->on_read);
        call->waits = clock_now();
}

/* --- calls that end early --------------------------------------------------------------------- */

static void give_up(struct builtin_call *call, enum stats_reason reason, grpc_status_code status,
                    const char *why)
{
        stats_reject(call->slot->port->stats, reason);
        call->waits = 0;
        (void)grpc_call_cancel_with_status(call->call, status, why, NULL);
}

void builtin_end_if_stalled(struct builtin_call *call, uint64_t now)
{
        uint64_t most = (uint64_t)call->slot->port->conf->stall;

        if (most > 0 && call->waits > 0 && now - call->waits > most)
                give_up(call, STATS_REJECTED_STALLED, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "The client does not read or send: limits.stall");
}

static void discount_unread(struct builtin_call *call)
{
        call->slot->port->builtin->unread -= call->unread;
        call->unread = false;
}

/* Too many ends have not been read: only the newest go on, and some room is left, so that the list
 * is not searched for each call. */
static void end_unread(struct builtin *builtin)
{
        unsigned kept = 0, most = builtin->unread_max - builtin->unread_max / UNREAD_ROOM;

        for (struct builtin_call *call = builtin->open; call; call = call->next) {
                if (!call->unread || ++kept <= most)
                        continue;
                discount_unread(call);
                give_up(call, STATS_REJECTED_STALLED, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "Replies that nobody reads use up 'memory'");
        }
}

static void count_unread(struct builtin_call *call)
{
        struct builtin *builtin = call->slot->port->builtin;

        call->unread = true;
        if (++builtin->unread > builtin->unread_max)
                end_unread(builtin);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Sends the reply and the end, if there are any, unless a write is under way. */
static void pump(struct builtin_call *call)
{
        grpc_op ops[BATCH_OPS_MAX];
        size_t n = 0;

        if (call->closed || call->writing || call->ending || (!call->reply && !call->finished))
                return;
        if (!call->headers_sent)
                batch_headers(&ops[n++]);
        call->headers_sent = true;
        if (call->reply)
                batch_message(&ops[n++], call->reply, 0);
        if (call->finished) {
                call->ending = true;
                batch_status(&ops[n++], call->status, &call->details, NULL, 0);
                if (!call->close_armed)
                        batch_close(&ops[n++], &call->cancelled);
        }
        call->writing = start_batch(call, ops, n, &call->on_write);
        call->waits = clock_now();
        if (call->ending)
                count_unread(call);
}

void builtin_reply(struct builtin_call *call, const ProtobufCMessage *reply)
{
        size_t n = protobuf_c_message_get_packed_size(reply);
        grpc_slice slice = grpc_slice_malloc(n);

        (void)protobuf_c_message_pack(reply, GRPC_SLICE_START_PTR(slice));
        call->reply = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
}

void builtin_finish(struct builtin_call *call, unsigned status, const char *details)
{
        if (call->finished)
                return;
        call->finished = true;
        call->status = status;
        call->details = grpc_slice_from_static_string(details);
}

/* --- places for streams ----------------------------------------------------------------------- */

static void leave_place(struct builtin_call *call)
{
        struct builtin_slot *slot = call->slot;

        if (!call->place.member)
                return;
        share_remove(&slot->share, &call->place);
        share_leave(&slot->share, &call->place);
        slot->open--;
}

/* Ends the stream whose place this one is to get. False: there is none. */
static bool make_room(struct builtin_call *call)
{
        struct share_place *place = share_victim(&call->slot->share, &call->place);
        struct builtin_call *victim;

        if (!place)
                return false;
        victim = CONTAINER_OF(place, struct builtin_call, place);
        leave_place(victim);
        give_up(victim, STATS_REJECTED_STREAMS, GRPC_STATUS_RESOURCE_EXHAUSTED,
                "Too many streams are open, and this client has the most");
        return true;
}

static int join(struct builtin_call *call, struct brick_str identity)
{
        struct share_party party = { .connection = batch_connection(call->call) };
        char *peer = rpc_peer_of(call->call, &call->metadata, call->slot->port->conf);

        admission_client(identity, brick_str(peer), &party);
        gpr_free(peer);
        return share_join(&call->slot->share, &call->place, &party);
}

/* identity: of the client; empty: it has none. False: there is no place. */
static bool take_place(struct builtin_call *call, struct brick_str identity)
{
        struct builtin_slot *slot = call->slot;

        if (join(call, identity) < 0)
                return false;
        if (slot->open >= slot->max && !make_room(call)) {
                share_leave(&slot->share, &call->place);
                return false;
        }
        share_append(&slot->share, &call->place);
        slot->open++;
        return true;
}

/* --- the life of a call ----------------------------------------------------------------------- */

static void link_call(struct builtin *builtin, struct builtin_call *call)
{
        call->next = builtin->open;
        call->link = &builtin->open;
        if (call->next)
                call->next->link = &call->next;
        builtin->open = call;
}

static void unlink_call(struct builtin_call *call)
{
        *call->link = call->next;
        if (call->next)
                call->next->link = call->link;
}

static void call_free(struct builtin_call *call)
{
        struct builtin *builtin = call->slot->port->builtin;

        grpc_metadata_array_destroy(&call->metadata);
        grpc_byte_buffer_destroy(call->request);
        grpc_byte_buffer_destroy(call->reply);
        if (call->call)
                grpc_call_unref(call->call);
        free(call);
        (void)atomic_fetch_sub(&builtin->calls, 1);
}

static unsigned status_of(const struct builtin_call *call)
{
        if (!call->cancelled)
                return call->status;
        if (gpr_time_cmp(call->deadline, gpr_now(call->deadline.clock_type)) <= 0)
                return GRPC_STATUS_DEADLINE_EXCEEDED;
        return GRPC_STATUS_CANCELLED;
}

/* Counts the method's open calls and streams, on all ports. Only this thread writes the counter. */
static void count_open(struct builtin *builtin, const struct builtin_method *method, int change)
{
        atomic_uint *open = &builtin->stats->open[method->stats];

        atomic_store_explicit(open,
                              atomic_load_explicit(open, memory_order_relaxed) + (unsigned)change,
                              memory_order_relaxed);
}

/* The metadata x-request-id; empty: none. It lives as long as the call. */
static struct brick_str request_id(const struct builtin_call *call)
{
        const grpc_metadata *pairs = call->metadata.metadata;

        for (size_t i = 0; i < call->metadata.count; i++)
                if (grpc_slice_str_cmp(pairs[i].key, "x-request-id") == 0)
                        return (struct brick_str){
                                (const char *)GRPC_SLICE_START_PTR(pairs[i].value),
                                GRPC_SLICE_LENGTH(pairs[i].value),
                        };
        return (struct brick_str){};
}

static void end_call(struct builtin_call *call)
{
        const struct builtin_method *method = call->slot->method;
        struct builtin *builtin = call->slot->port->builtin;
        unsigned status = status_of(call);

        stats_count(&builtin->stats->builtin.calls[method->stats][status], 1);
        count_open(builtin, method, -1);
        access_log_builtin(builtin->conf, method->path, method->label, request_id(call), status,
                           call->started);
        unlink_call(call);
        discount_unread(call);
        leave_place(call);
        call_free(call);
}

void builtin_proceed(struct builtin_call *call)
{
        pump(call);
        if (call->closed && call->tags == 0)
                end_call(call);
}

static void on_close(void *owner, bool ok)
{
        struct builtin_call *call = owner;

        call->tags--;
        call->closed = true;
        builtin_proceed(call);
}

static void on_write(void *owner, bool ok)
{
        struct builtin_call *call = owner;
        const struct builtin_method *method = call->slot->method;

        call->tags--;
        call->writing = false;
        call->waits = 0;
        grpc_byte_buffer_destroy(call->reply);
        call->reply = NULL;
        if (call->ending && !call->close_armed)
                call->closed = true; /* the batch asked for the close as well */
        if (ok && !call->ending && !call->closed) {
                if (method->changed)
                        method->changed(call);
                if (method->request_stream && !call->finished)
                        read_message(call);
        }
        builtin_proceed(call);
}

/* Unpacks the received request and hands it to the method. */
static void take_message(struct builtin_call *call)
{
        const struct builtin_method *method = call->slot->method;
        ProtobufCMessage *request = NULL;
        grpc_byte_buffer_reader reader;
        grpc_slice bytes;

        if (grpc_byte_buffer_length(call->request) > BUILTIN_REQUEST_MAX) {
                builtin_finish(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "The request is too large");
                return;
        }
        if (grpc_byte_buffer_reader_init(&reader, call->request)) {
                bytes = grpc_byte_buffer_reader_readall(&reader);
                grpc_byte_buffer_reader_destroy(&reader);
                if (validate_message(method->request, GRPC_SLICE_START_PTR(bytes),
                                     GRPC_SLICE_LENGTH(bytes), 0))
                        request = protobuf_c_message_unpack(method->request, NULL,
                                                            GRPC_SLICE_LENGTH(bytes),
                                                            GRPC_SLICE_START_PTR(bytes));
                grpc_slice_unref(bytes);
        }
        if (!request) {
                builtin_finish(call, GRPC_STATUS_INTERNAL, "The request cannot be parsed");
                return;
        }
        method->message(call, request);
        protobuf_c_message_free_unpacked(request, NULL);
}

static void on_read(void *owner, bool ok)
{
        struct builtin_call *call = owner;

        call->tags--;
        call->waits = 0;
        if (!call->request)
                builtin_finish(call, GRPC_STATUS_OK, ""); /* or the client has disconnected */
        else if (!call->finished)
                take_message(call);
        grpc_byte_buffer_destroy(call->request);
        call->request = NULL;
        builtin_proceed(call);
}

void builtin_end_if_draining(struct builtin_call *call)
{
        if (atomic_load(&call->slot->port->builtin->draining))
                builtin_finish(call, GRPC_STATUS_UNAVAILABLE, "The server is stopping");
}

static void refuse(struct builtin_call *call, enum stats_reason reason, unsigned status,
                   const char *why)
{
        stats_reject(call->slot->port->stats, reason);
        builtin_finish(call, status, why);
}

/* Authenticates the call, if the port does so for this method, and gives a stream a place; or
 * refuses the call. The identity's rate does not apply: it is for calls of bricks. */
static void admit(struct builtin_call *call)
{
        struct auth *auth = call->slot->port->builtin->auth;
        struct brick_str identity = brick_str("");
        const struct auth_identity *who;
        struct credentials credentials;
        const char *refusal = NULL;

        if (call->slot->authenticate) {
                credentials_take(&credentials, call->call, &call->metadata);
                refusal = auth_identify(auth, AUTH_BUILTIN, &credentials.proof, &who);
                credentials_done(&credentials);
                if (!refusal)
                        identity = (struct brick_str){ who->name, who->name_length };
        }
        if (refusal)
                refuse(call, STATS_REJECTED_IDENTITY, GRPC_STATUS_UNAUTHENTICATED, refusal);
        else if (call->slot->method->stream && !take_place(call, identity))
                refuse(call, STATS_REJECTED_STREAMS, GRPC_STATUS_RESOURCE_EXHAUSTED,
                       "Too many streams are open");
}

static void on_new(void *owner, bool ok)
{
        struct builtin_call *call = owner;
        struct builtin_slot *slot = call->slot;
        static struct line_limit limit = LINE_LIMIT_INIT;
        struct builtin *builtin = slot->port->builtin;

        if (!ok) {
                call_free(call);
                return;
        }
        if (!atomic_load(&builtin->draining) && builtin_post(slot) < 0 &&
            line_limit_take(&limit) >= 0)
                log_error("Out of memory: cannot post a request for health checks or reflection");
        call->started = clock_now();
        link_call(builtin, call);
        count_open(builtin, slot->method, 1);
        admit(call);
        if (!call->finished && slot->method->stream)
                arm_close(call);
        if (!call->finished && !call->closed) {
                if (slot->method->request_stream)
                        read_message(call);
                else if (call->request)
                        take_message(call);
                else
                        builtin_finish(call, GRPC_STATUS_INTERNAL, "The request has no message");
        }
        if (slot->method->stream)
                builtin_end_if_draining(call);
        builtin_proceed(call);
}

int builtin_post(struct builtin_slot *slot)
{
        struct builtin *builtin = slot->port->builtin;
        struct builtin_call *call = calloc(1, sizeof *call);
        grpc_call_error error;

        if (!call)
                return -ENOMEM;
        call->slot = slot;
        call->on_new = (struct batch_tag){ on_new, call };
        call->on_close = (struct batch_tag){ on_close, call };
        call->on_write = (struct batch_tag){ on_write, call };
        call->on_read = (struct batch_tag){ on_read, call };
        grpc_metadata_array_init(&call->metadata);
        (void)atomic_fetch_add(&builtin->calls, 1);
        error = grpc_server_request_registered_call(
                slot->port->server, slot->handle, &call->call, &call->deadline, &call->metadata,
                slot->method->request_stream ? NULL : &call->request, builtin->queue,
                builtin->queue, &call->on_new);
        if (error != GRPC_CALL_OK) {
                call_free(call);
                return -EIO;
        }
        return 0;
}

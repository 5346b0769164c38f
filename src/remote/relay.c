/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/outcome.h"
#include "remote/relay.h"
#include "util/clock.h"

#define OPS_MAX 6

/* --- replies ---------------------------------------------------------------------------------- */

static void drop_reply(struct relay *relay)
{
        grpc_slice_unref(relay->reply);
        relay->reply = grpc_empty_slice();
        free(relay->apart);
        relay->apart = NULL;
        relay->holding = false;
}

/* Lock held. The rest of the replies is not wanted. */
static void refuse(struct relay *relay, unsigned status, const char *why)
{
        relay->refused = why;
        relay->refused_status = status;
        drop_reply(relay);
        (void)grpc_call_cancel(relay->core, NULL);
}

static grpc_slice take_bytes(grpc_byte_buffer *buffer)
{
        grpc_byte_buffer_reader reader;
        grpc_slice slice;

        if (buffer->data.raw.slice_buffer.count == 1)
                return grpc_slice_ref(buffer->data.raw.slice_buffer.slices[0]);
        if (!grpc_byte_buffer_reader_init(&reader, buffer))
                return grpc_empty_slice();
        slice = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        return slice;
}

static bool split(struct relay *relay)
{
        const struct upstream_method *method = relay->method;
        const struct brick_bytes bytes = { GRPC_SLICE_START_PTR(relay->reply),
                                           GRPC_SLICE_LENGTH(relay->reply) };

        return payload_split(&relay->payload, method->reply, method->error_field, bytes,
                             &relay->apart) == 0;
}

/* Lock held. Offers the held reply to the client's side. */
static void pass_on(struct relay *relay)
{
        int r = relay->host->call_send(relay->call, relay->payload.bytes);

        relay_limit_passed(relay, r == 0);
        if (r == -EAGAIN)
                return;
        if (r == 0) {
                relay->passed_on = true;
                drop_reply(relay);
        } else if (r == -EMSGSIZE) {
                refuse(relay, STATUS_RESOURCE_EXHAUSTED,
                       "The backend's reply is larger than this port allows");
        } else {
                refuse(relay, STATUS_CANCELLED, "The reply is not wanted any more");
        }
}

/* Lock held. A reply has come. An error that a reply holds is kept with its bytes: it ends the
 * call, and what comes behind it is not wanted. */
static void take_reply(struct relay *relay)
{
        grpc_byte_buffer *in = relay->in;

        relay->in = NULL;
        if (!relay->refused && !relay->payload.failed) {
                bool compressed = in->data.raw.compression != GRPC_COMPRESS_NONE;

                relay->reply = take_bytes(in);
                relay->holding = true;
                if (compressed || !split(relay))
                        refuse(relay, STATUS_INTERNAL,
                               "The backend's reply is not of the method's type");
                else if (relay->payload.failed)
                        relay->holding = false;
                else
                        pass_on(relay);
        } else if (relay->payload.failed) {
                (void)grpc_call_cancel(relay->core, NULL);
        }
        grpc_byte_buffer_destroy(in);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Lock held. */
static void end_attempt(struct relay *relay)
{
        struct backend *backend = relay->backend;

        (void)atomic_fetch_sub_explicit(&backend->stats->in_flight, 1, memory_order_relaxed);
        stats_count_shared(&backend->counters->calls);
        if (relay->status != GRPC_STATUS_OK && !relay->cancelled)
                stats_count_shared(&backend->counters->failures);
        link_unref(relay->link);
        relay->link = NULL;
}

/* Gives back what an attempt has got. The core's call must live as long as its metadata is used. */
static void clear_attempt(struct relay *relay)
{
        drop_reply(relay);
        grpc_metadata_array_destroy(&relay->headers);
        grpc_metadata_array_destroy(&relay->trailers);
        grpc_slice_unref(relay->details);
        if (relay->in)
                grpc_byte_buffer_destroy(relay->in);
        relay->in = NULL;
        if (relay->core)
                grpc_call_unref(relay->core);
        relay->core = NULL;
}

static bool may_try_again(const struct relay *relay)
{
        bool failed = relay->status == GRPC_STATUS_UNAVAILABLE ||
                      (relay->late && relay->status != GRPC_STATUS_OK);

        return failed && !relay->upstream->once && !relay->passed_on && !relay->taken &&
               !relay->refused && !relay->cancelled && !relay->payload.failed &&
               upstream_choose(relay->upstream, relay->key, relay->tried);
}

static int begin(struct relay *relay);

static bool is_over(const struct relay *relay)
{
        return relay->begun && relay->batches == 0 && !relay->holding && !relay->finished;
}

/* Lock held, which it releases. After every event and every entry. */
static void proceed(struct relay *relay)
{
        bool over = false;

        while (is_over(relay)) {
                end_attempt(relay);
                over = !may_try_again(relay) || begin(relay) < 0;
                relay->finished = over;
        }
        if (over)
                relay_limit_refuse(relay);
        (void)pthread_mutex_unlock(&relay->lock);
        if (over)
                relay_finish(relay);
}

/* --- events ----------------------------------------------------------------------------------- */

/* Lock held. */
static bool start_batch(struct relay *relay, const grpc_op *ops, size_t n, struct batch_tag *tag)
{
        if (!batch_start(relay->core, ops, n, tag))
                return false;
        relay->batches++;
        return true;
}

static struct relay *enter(void *owner)
{
        struct relay *relay = owner;

        (void)pthread_mutex_lock(&relay->lock);
        relay->batches--;
        return relay;
}

static void receive(struct relay *relay)
{
        grpc_op op;

        batch_receive(&op, &relay->in);
        (void)start_batch(relay, &op, 1, &relay->on_receive);
}

/* Lock held. A reply has come, or the held one has been taken: asks for the next. */
static void receive_next(struct relay *relay)
{
        if (!relay->method->single && !relay->holding && !relay->ended)
                receive(relay);
}

static void on_receive(void *owner, bool ok)
{
        struct relay *relay = enter(owner);

        if (relay->in)
                take_reply(relay);
        else
                relay->ended = true;
        if (relay->method->single)
                relay->ended = true;
        receive_next(relay);
        proceed(relay);
}

/* Of a stream, which goes on while another batch is under way: the headers have come, the status
 * has, or no more is to be sent. */
static void on_part(void *owner, bool ok)
{
        proceed(enter(owner));
}

/* Of a call without streams: everything has come. */
static void on_all(void *owner, bool ok)
{
        struct relay *relay = enter(owner);

        if (relay->in && relay->status == GRPC_STATUS_OK)
                take_reply(relay);
        proceed(relay);
}

static void on_send(void *owner, bool ok)
{
        struct relay *relay = enter(owner);

        grpc_slice_buffer_reset_and_unref(&relay->out.data.raw.slice_buffer);
        if (ok && !relay->cancelled)
                relay->host->call_recv(relay->call);
        proceed(relay);
}

/* --- attempts --------------------------------------------------------------------------------- */

static void put_out(struct relay *relay, struct brick_bytes message)
{
        relay->out.type = GRPC_BB_RAW;
        relay->out.data.raw.compression = GRPC_COMPRESS_NONE;
        grpc_slice_buffer_add(&relay->out.data.raw.slice_buffer,
                              grpc_slice_from_copied_buffer(message.ptr, message.len));
}

static gpr_timespec deadline_of(const struct relay *relay)
{
        uint64_t ns = relay->host->call_deadline(relay->call);

        if (ns == UINT64_MAX)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        return (gpr_timespec){
                .tv_sec = (int64_t)(ns / NSEC_PER_SEC),
                .tv_nsec = (int32_t)(ns % NSEC_PER_SEC),
                .clock_type = GPR_CLOCK_MONOTONIC,
        };
}

static void put_status_op(grpc_op *op, struct relay *relay)
{
        *op = (grpc_op){
                .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                .data.recv_status_on_client = {
                        .trailing_metadata = &relay->trailers,
                        .status = &relay->status,
                        .status_details = &relay->details,
                },
        };
}

/* The operations with which every attempt begins. */
static size_t put_begin(grpc_op *ops, struct relay *relay)
{
        size_t n = 0;

        batch_headers(&ops[n]);
        ops[n].flags = relay->upstream->flags;
        ops[n].data.send_initial_metadata.count = relay->metadata.n;
        ops[n++].data.send_initial_metadata.metadata = relay->metadata.list;
        if (!relay->method->request_stream) {
                put_out(relay, relay->host->call_request(relay->call));
                batch_message(&ops[n++], &relay->out, 0);
                ops[n++] = (grpc_op){ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
        }
        ops[n++] = (grpc_op){
                .op = GRPC_OP_RECV_INITIAL_METADATA,
                .data.recv_initial_metadata.recv_initial_metadata = &relay->headers,
        };
        return n;
}

/* Lock held. All batches of an attempt, but those of the request stream. */
static void start_batches(struct relay *relay)
{
        grpc_op ops[OPS_MAX], status;
        size_t n = put_begin(ops, relay);

        put_status_op(&status, relay);
        if (relay->method->single && !relay->method->request_stream) {
                batch_receive(&ops[n++], &relay->in);
                ops[n++] = status;
                relay->on_begin.done = on_all;
                (void)start_batch(relay, ops, n, &relay->on_begin);
                return;
        }
        (void)start_batch(relay, &status, 1, &relay->on_status);
        (void)start_batch(relay, ops, n, &relay->on_begin);
        receive(relay);
}

/* Lock held. Starts an attempt with the best backend that is left. -EHOSTDOWN: there is none. */
static int begin(struct relay *relay)
{
        struct backend *backend = upstream_choose(relay->upstream, relay->key, relay->tried);
        struct link *link = backend ? channel_take_link(backend->user.channel) : NULL;

        if (!link)
                return -EHOSTDOWN;
        clear_attempt(relay);
        grpc_metadata_array_init(&relay->headers);
        grpc_metadata_array_init(&relay->trailers);
        grpc_slice_buffer_reset_and_unref(&relay->out.data.raw.slice_buffer);
        relay->details = grpc_empty_slice();
        relay->status = GRPC_STATUS_UNKNOWN;
        relay->ended = false;
        relay->backend = backend;
        relay->link = link;
        relay->tried |= backend_bit(backend);
        relay->begun = true;
        relay->core = grpc_channel_create_call(
                link->core, NULL, GRPC_PROPAGATE_DEFAULTS, client_queue(),
                grpc_slice_from_static_string(relay->method->path), NULL, deadline_of(relay), NULL);
        (void)atomic_fetch_add_explicit(&backend->stats->in_flight, 1, memory_order_relaxed);
        relay_limit_begin(relay);
        start_batches(relay);
        return 0;
}

/* Begins the call with its first attempt. False: it has been finished. */
static bool begin_or_finish(struct relay *relay, struct brick_bytes message)
{
        const struct brick_host *host = relay->host;
        struct brick_call *call = relay->call;
        int r;

        relay->key = upstream_key(relay->upstream, call, message);
        (void)pthread_mutex_lock(&relay->lock);
        r = begin(relay);
        if (r == 0) {
                proceed(relay);
                return true;
        }
        relay->finished = true;
        (void)pthread_mutex_unlock(&relay->lock);
        host->call_finish(call, STATUS_UNAVAILABLE,
                          brick_str("No backend of this brick takes calls"));
        return false;
}

/* --- the brick's entries ---------------------------------------------------------------------- */

static void destroy(void *data)
{
        struct relay *relay = data;

        clear_attempt(relay);
        metadata_drop(&relay->metadata);
        grpc_slice_buffer_destroy(&relay->out.data.raw.slice_buffer);
        (void)pthread_mutex_destroy(&relay->lock);
}

static void init(struct relay *relay, struct upstream *upstream, struct brick_call *call,
                 uint32_t method)
{
        memset(relay, 0, sizeof *relay);
        relay->upstream = upstream;
        relay->host = upstream->host;
        relay->call = call;
        relay->method = &upstream->methods[method];
        (void)pthread_mutex_init(&relay->lock, NULL);
        grpc_slice_buffer_init(&relay->out.data.raw.slice_buffer);
        grpc_metadata_array_init(&relay->headers);
        grpc_metadata_array_init(&relay->trailers);
        relay->details = grpc_empty_slice();
        relay->reply = grpc_empty_slice();
        relay->on_begin = (struct batch_tag){ on_part, relay };
        relay->on_status = (struct batch_tag){ on_part, relay };
        relay->on_receive = (struct batch_tag){ on_receive, relay };
        relay->on_send = (struct batch_tag){ on_send, relay };
}

static void refuse_loop(const struct brick_host *host, struct brick_call *call)
{
        char why[96];

        (void)snprintf(why, sizeof why,
                       "The call has passed %d servers: some of them may call each other in a "
                       "circle",
                       HOPS_MAX);
        host->call_fail(call, 508, brick_str(why), brick_str(""));
}

int upstream_start(struct upstream *upstream, struct brick_call *call, uint32_t method)
{
        const struct brick_host *host = upstream->host;
        struct relay *relay;
        int r;

        relay = host->call_alloc(call, sizeof *relay, _Alignof(struct relay));
        if (!relay)
                return -ENOMEM;
        init(relay, upstream, call, method);
        host->call_set_data(call, relay, destroy);
        r = relay_limit_init(relay);
        if (r < 0)
                return r;
        r = metadata_collect(&relay->metadata, upstream, call);
        if (r == -ELOOP) {
                refuse_loop(host, call);
                return 0;
        }
        if (r < 0)
                return r;
        if (!relay->method->request_stream) {
                (void)begin_or_finish(relay, host->call_request(call));
                return 0;
        }
        if (upstream_needs_message(upstream) || begin_or_finish(relay, (struct brick_bytes){}))
                host->call_recv(call);
        return 0;
}

/* Lock held. */
static void send_message(struct relay *relay, const struct brick_bytes *message)
{
        grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };

        relay->taken = true;
        relay->on_send.done = message ? on_send : on_part;
        if (message) {
                put_out(relay, *message);
                batch_message(&op, &relay->out, 0);
        }
        (void)start_batch(relay, &op, 1, &relay->on_send);
}

void upstream_message(struct upstream *upstream, struct brick_call *call,
                      const struct brick_bytes *message)
{
        struct relay *relay = upstream->host->call_data(call);

        if (!relay->begun && !begin_or_finish(relay, message ? *message : (struct brick_bytes){}))
                return;
        (void)pthread_mutex_lock(&relay->lock);
        if (!relay->finished)
                send_message(relay, message);
        (void)pthread_mutex_unlock(&relay->lock);
}

void upstream_writable(struct upstream *upstream, struct brick_call *call)
{
        struct relay *relay = upstream->host->call_data(call);

        (void)pthread_mutex_lock(&relay->lock);
        if (relay->holding) {
                pass_on(relay);
                receive_next(relay);
        }
        proceed(relay);
}

void upstream_cancel(struct upstream *upstream, struct brick_call *call)
{
        struct relay *relay = upstream->host->call_data(call);
        bool over;

        (void)pthread_mutex_lock(&relay->lock);
        relay->cancelled = true;
        if (relay->core)
                (void)grpc_call_cancel(relay->core, NULL);
        if (relay->holding) {
                drop_reply(relay);
                receive_next(relay);
        }
        over = !relay->begun && !relay->finished;
        if (!over) {
                proceed(relay);
                return;
        }
        relay->finished = true;
        (void)pthread_mutex_unlock(&relay->lock);
        upstream->host->call_finish(call, STATUS_CANCELLED, brick_str(""));
}

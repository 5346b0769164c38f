/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <stdlib.h>
#include <string.h>

#include "module/instance.h"
#include "remote/channel.h"
#include "remote/client.h"
#include "rpc/batch.h"

/*
 * The states of a relayed call: events of both sides come in every order. The bytes choose the
 * method, the backends, and then one event after another. gRPC core and the host of the brick are
 * played by this file, which checks that neither is used as it must not be. At the end the client
 * gives up, what is under way completes, and nothing may be left.
 */

#undef NDEBUG
#define CHECK(condition)          \
        do {                      \
                if (!(condition)) \
                        abort();  \
        } while (0)

#define BACKENDS 3
#define CALLS_MAX 8

/* --- the bytes -------------------------------------------------------------------------------- */

static const uint8_t *input;
static size_t input_left;

static unsigned next(unsigned choices)
{
        if (input_left == 0)
                return 0;
        input_left--;
        return *input++ % choices;
}

/* --- gRPC core -------------------------------------------------------------------------------- */

struct batch {
        bool pending;
        bool filled; /* its results are there, and its event is still to come */
        bool ok;
        grpc_byte_buffer *message; /* that has been received */
        struct batch_tag *tag;
        grpc_op ops[6];
        size_t n;
};

/* Batches by their first operation, as the core has them. */
struct fake_call {
        bool used;
        bool cancelled;
        bool over; /* its status is known: nothing can be sent or received any more */
        grpc_status_code status;
        struct batch batches[GRPC_OP_RECV_CLOSE_ON_SERVER + 1];
};

static struct fake_call calls[CALLS_MAX];
static unsigned links;
static struct link link_of[BACKENDS];
static struct channel *const channels = (struct channel *)(void *)link_of;
static enum backend_state states[BACKENDS];

static struct fake_call *fake_of(grpc_call *call)
{
        struct fake_call *fake = (struct fake_call *)call;

        CHECK(fake && fake->used);
        return fake;
}

grpc_call *grpc_channel_create_call(grpc_channel *channel, grpc_call *parent, uint32_t propagation,
                                    grpc_completion_queue *queue, grpc_slice method,
                                    const grpc_slice *host, gpr_timespec deadline, void *reserved)
{
        for (size_t i = 0; i < CALLS_MAX; i++)
                if (!calls[i].used) {
                        calls[i] = (struct fake_call){ .used = true };
                        return (grpc_call *)&calls[i];
                }
        abort();
}

/* Of the operations that one call can have once or one at a time. */
static bool has(const struct fake_call *call, grpc_op_type type)
{
        for (size_t i = 0; i < ELEMENTSOF(call->batches); i++)
                for (size_t k = 0; call->batches[i].pending && k < call->batches[i].n; k++)
                        if (call->batches[i].ops[k].op == type)
                                return true;
        return false;
}

grpc_call_error grpc_call_start_batch(grpc_call *call, const grpc_op *ops, size_t n, void *tag,
                                      void *reserved)
{
        struct fake_call *fake = fake_of(call);
        struct batch *batch = &fake->batches[ops[0].op];

        CHECK(!batch->pending && n > 0 && n <= ELEMENTSOF(batch->ops));
        for (size_t i = 0; i < n; i++)
                CHECK(!has(fake, ops[i].op));
        memcpy(batch->ops, ops, n * sizeof *ops);
        batch->n = n;
        batch->filled = false;
        batch->tag = tag;
        batch->pending = true;
        /* as the core does: it takes the bytes of the message */
        for (size_t i = 0; i < n; i++)
                if (ops[i].op == GRPC_OP_SEND_MESSAGE)
                        CHECK(ops[i].data.send_message.send_message->data.raw.slice_buffer.count ==
                              1);
        return GRPC_CALL_OK;
}

grpc_call_error grpc_call_cancel(grpc_call *call, void *reserved)
{
        fake_of(call)->cancelled = true;
        return GRPC_CALL_OK;
}

void grpc_call_unref(grpc_call *call)
{
        struct fake_call *fake = fake_of(call);

        for (size_t i = 0; i < ELEMENTSOF(fake->batches); i++)
                CHECK(!fake->batches[i].pending);
        fake->used = false;
}

char *grpc_call_get_peer(grpc_call *call)
{
        (void)fake_of(call);
        return strdup(next(2) ? "unix:/a" : "ipv4:127.0.0.1:1");
}

int channel_join(struct channel_user *user, const struct backend_settings *settings)
{
        static size_t n;

        user->channel = (struct channel *)(void *)&link_of[n++ % BACKENDS];
        return 0;
}

void channel_leave(struct channel_user *user)
{
}

static size_t index_of(const struct channel *channel)
{
        return (size_t)((const struct link *)(const void *)channel -
                        (const struct link *)(const void *)channels);
}

enum backend_state channel_state(const struct channel *channel)
{
        return states[index_of(channel)];
}

void channel_hurry(struct channel *channel)
{
}

void channel_renew(struct channel *channel)
{
}

struct link *channel_take_link(struct channel *channel)
{
        links++;
        return &link_of[index_of(channel)];
}

void link_unref(struct link *link)
{
        CHECK(links > 0);
        links--;
}

grpc_completion_queue *client_queue(void)
{
        return NULL;
}

/* --- the host --------------------------------------------------------------------------------- */

static struct upstream *upstream;
static struct {
        uint32_t method;
        bool finished;
        unsigned sent; /* replies */
        bool message_due, writable_due, cancelled, half_closed;
        void *data;
        void (*destroy)(void *data);
        void *memory[8];
        size_t n_memory;
} call;
static struct brick_call *const handle = (struct brick_call *)(void *)&call;

static bool is_single(void)
{
        return call.method != BRICK_METHOD_OUTPUT_STREAMING &&
               call.method != BRICK_METHOD_BIDI_STREAMING;
}

static void check_alive(const struct brick_call *used)
{
        CHECK(used == handle && !call.finished);
}

static uint32_t host_type(struct brick_ctx *ctx)
{
        return BRICK_TYPE_GUARD;
}

static struct brick_bytes host_request(struct brick_call *used)
{
        check_alive(used);
        return (struct brick_bytes){ "\x0a\x02hi\x1a\x01s", 7 };
}

static struct brick_str host_metadata(struct brick_call *used, const char *key)
{
        check_alive(used);
        return (struct brick_str){};
}

static int host_metadata_at(struct brick_call *used, size_t index, struct brick_str *ret_key,
                            struct brick_str *ret_value)
{
        check_alive(used);
        *ret_key = brick_str("key");
        *ret_value = brick_str("a value that is too long to lie in a slice");
        return index < 2;
}

static uint64_t host_deadline(struct brick_call *used)
{
        check_alive(used);
        return UINT64_MAX;
}

static void *host_alloc(struct brick_call *used, size_t size, size_t align)
{
        check_alive(used);
        CHECK(call.n_memory < ELEMENTSOF(call.memory));
        return call.memory[call.n_memory++] = malloc(size);
}

static void host_set_data(struct brick_call *used, void *data, void (*destroy)(void *data))
{
        check_alive(used);
        call.data = data;
        call.destroy = destroy;
}

static void *host_data(struct brick_call *used)
{
        check_alive(used);
        return call.data;
}

static void host_recv(struct brick_call *used)
{
        check_alive(used);
        CHECK(!call.message_due && !call.half_closed);
        call.message_due = true;
}

static int host_send(struct brick_call *used, struct brick_bytes message)
{
        static const int results[] = { 0, 0, -EAGAIN, -ECANCELED, -EMSGSIZE };
        int r;

        check_alive(used);
        CHECK(!call.writable_due || call.cancelled); /* it is to wait */
        r = call.cancelled ? -ECANCELED : results[next(ELEMENTSOF(results))];
        if (is_single() && r == -EAGAIN)
                r = 0;
        CHECK(!is_single() || call.sent == 0);
        call.sent += r == 0;
        call.writable_due = r == -EAGAIN;
        return r;
}

static int host_trailer(struct brick_call *used, struct brick_str key, struct brick_str value)
{
        check_alive(used);
        return 0;
}

static void host_finish(struct brick_call *used, uint32_t status, struct brick_str reason)
{
        check_alive(used);
        call.finished = true;
}

static void host_fail(struct brick_call *used, int32_t code, struct brick_str message,
                      struct brick_str detail)
{
        check_alive(used);
        CHECK(code != 200);
        call.finished = true;
}

static struct brick_str host_trace(struct brick_call *used)
{
        check_alive(used);
        return (struct brick_str){};
}

static void host_log(struct brick_ctx *ctx, uint32_t level, struct brick_str line)
{
}

static void host_set_health(struct brick_ctx *ctx, int serving, struct brick_str reason)
{
}

static const struct brick_host host = {
        .struct_size = sizeof host,
        .log = host_log,
        .type = host_type,
        .call_request = host_request,
        .call_metadata = host_metadata,
        .call_metadata_at = host_metadata_at,
        .call_deadline = host_deadline,
        .call_alloc = host_alloc,
        .call_set_data = host_set_data,
        .call_data = host_data,
        .call_recv = host_recv,
        .call_send = host_send,
        .call_trailer = host_trailer,
        .call_finish = host_finish,
        .call_fail = host_fail,
        .call_traceparent = host_trace,
        .call_tracestate = host_trace,
        .set_health = host_set_health,
};

/* --- events ----------------------------------------------------------------------------------- */

static grpc_byte_buffer *a_reply(void)
{
        static const struct {
                const char *bytes;
                size_t length;
        } replies[] = {
                { "\x0a\x02\x08\x01\x12\x03\x08\xc8\x01", 9 }, /* good */
                { "", 0 },
                { "\x12\x04\x08\x07\x12\x00", 6 },             /* an error */
                { "\x12\x02\x08\x07\x0a\x02\x08\x01", 8 },     /* an error, not at the end */
                { "\x12\x03\x08\xc8\x01\x0a\x02\x08\x01", 9 }, /* good, the same */
                { "\x0a\xff", 2 },                             /* no reply */
        };
        unsigned i = next(ELEMENTSOF(replies));
        grpc_slice slice = grpc_slice_from_copied_buffer(replies[i].bytes, replies[i].length);
        grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

        grpc_slice_unref(slice);
        return buffer;
}

/* Whether the batch can complete now: what waits for the end of the call waits for it. */
static bool can_complete(const struct fake_call *fake, const struct batch *batch)
{
        for (size_t i = 0; i < batch->n; i++)
                if (batch->ops[i].op == GRPC_OP_RECV_STATUS_ON_CLIENT && !fake->over)
                        return false;
        return batch->pending;
}

static grpc_byte_buffer *received(const struct fake_call *fake, bool whole)
{
        return (whole ? fake->status == GRPC_STATUS_OK : !fake->over) ? a_reply() : NULL;
}

static void complete_op(const struct fake_call *fake, struct batch *batch, const grpc_op *op)
{
        switch (op->op) {
        case GRPC_OP_SEND_MESSAGE:
                grpc_slice_buffer_reset_and_unref(
                        &op->data.send_message.send_message->data.raw.slice_buffer);
                break;
        case GRPC_OP_RECV_MESSAGE:
                batch->message = received(fake, batch->n > 1);
                *op->data.recv_message.recv_message = batch->message;
                break;
        case GRPC_OP_RECV_STATUS_ON_CLIENT:
                *op->data.recv_status_on_client.status = fake->status;
                *op->data.recv_status_on_client.status_details = grpc_slice_from_copied_string(
                        "why the call has failed, in some words");
                break;
        default:
                break;
        }
}

static void complete(struct fake_call *fake, grpc_op_type first)
{
        struct batch *batch = &fake->batches[first];

        for (size_t i = 0; !batch->filled && i < batch->n; i++)
                complete_op(fake, batch, &batch->ops[i]);
        if (!batch->filled)
                batch->ok = !fake->over;
        batch->filled = true;
        if (next(3) == 1)
                return;                       /* other events come before its own */
        for (size_t i = 0; i < batch->n; i++) /* nobody may take it before its event */
                if (batch->ops[i].op == GRPC_OP_RECV_MESSAGE)
                        CHECK(*batch->ops[i].data.recv_message.recv_message == batch->message);
        batch->pending = batch->filled = false;
        batch->tag->done(batch->tag->owner, batch->ok);
}

/* The first batch from a place on that can complete. */
static void complete_some(void)
{
        unsigned start = next(16);

        for (size_t c = 0; c < CALLS_MAX; c++)
                for (size_t i = 0; calls[c].used && i < ELEMENTSOF(calls[c].batches); i++) {
                        size_t first = (i + start) % ELEMENTSOF(calls[c].batches);

                        if (can_complete(&calls[c], &calls[c].batches[first])) {
                                complete(&calls[c], (grpc_op_type)first);
                                return;
                        }
                }
}

static void end_call(grpc_status_code status)
{
        for (size_t c = 0; c < CALLS_MAX; c++)
                if (calls[c].used && !calls[c].over) {
                        calls[c].over = true;
                        calls[c].status = calls[c].cancelled ? GRPC_STATUS_CANCELLED : status;
                }
}

static void enter_message(void)
{
        static const struct brick_bytes message = { "\x0a\x02hi\x1a\x01s", 7 };

        if (!call.message_due || call.finished)
                return;
        call.message_due = false;
        call.half_closed = call.cancelled || next(3) == 0;
        upstream_message(upstream, handle, call.half_closed ? NULL : &message);
}

static void enter_writable(void)
{
        if (!call.writable_due || call.finished)
                return;
        call.writable_due = false;
        upstream_writable(upstream, handle);
}

static void enter_cancel(void)
{
        if (call.cancelled || call.finished)
                return;
        call.cancelled = true;
        upstream_cancel(upstream, handle);
}

static void step(void)
{
        static const grpc_status_code statuses[] = { GRPC_STATUS_OK, GRPC_STATUS_OK,
                                                     GRPC_STATUS_UNAVAILABLE,
                                                     GRPC_STATUS_INTERNAL };

        switch (next(8)) {
        case 0:
        case 1:
        case 2:
                complete_some();
                break;
        case 3:
                end_call(statuses[next(ELEMENTSOF(statuses))]);
                break;
        case 4:
                enter_message();
                break;
        case 5:
                enter_writable();
                break;
        case 6:
                if (next(4) == 0)
                        enter_cancel();
                break;
        case 7:
                states[next(BACKENDS)] = (enum backend_state)(1 + next(BACKEND_STATES - 1));
                break;
        }
}

static void wind_up(void)
{
        enter_cancel();
        for (int i = 0; i < 100; i++) {
                end_call(GRPC_STATUS_CANCELLED);
                complete_some();
                enter_message();
                enter_writable();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct backend_settings backends[BACKENDS] = { { .address = "unix:/a" },
                                                                    { .address = "unix:/b" },
                                                                    { .address = "unix:/c" } };
        static struct stats_brick stats;
        struct instance instance = { .stats = &stats };
        struct brick_ctx ctx = { .instance = &instance };
        struct upstream_settings settings = {
                .host = &host, .ctx = &ctx, .backends = backends, .n_backends = BACKENDS
        };

        input = data;
        input_left = size;
        memset(&call, 0, sizeof call);
        for (size_t i = 0; i < BACKENDS; i++)
                states[i] = (enum backend_state)(1 + next(BACKEND_STATES - 1));
        settings.choice = (enum upstream_choice)next(3);
        call.method = next(STATS_METHODS);
        CHECK(upstream_new(&upstream, &settings) == 0);
        CHECK(upstream_start(upstream, handle, call.method) == 0);
        while (input_left > 0)
                step();
        wind_up();

        CHECK(call.finished);
        call.destroy(call.data);
        for (size_t i = 0; i < call.n_memory; i++)
                free(call.memory[i]);
        for (size_t i = 0; i < CALLS_MAX; i++)
                CHECK(!calls[i].used);
        for (size_t i = 0; i < BACKENDS; i++)
                CHECK(atomic_load(&stats.backends[i].in_flight) == 0);
        CHECK(links == 0);
        upstream = upstream_free(upstream);
        return 0;
}

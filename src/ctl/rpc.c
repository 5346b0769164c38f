/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "config.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/rpc.h"
#include "util/grpc-status.h"

#define REPLY_MAX (64 << 20)

struct rpc {
        grpc_channel *channel;
        grpc_completion_queue *queue; /* for pluck(): each wait names its batch */
        grpc_call *call;

        /* the batch that opens the call; its tag is the rpc */
        grpc_metadata_array initial;

        /* the batch that waits for the status */
        grpc_metadata_array trailing;
        grpc_status_code status;
        grpc_slice details;
        char *text;
        bool finished;
};

/* Suppresses the core's messages on stderr. The status of the call has the same information. */
static void ignore_line(gpr_log_func_args *args)
{
}

static grpc_arg integer_arg(const char *key, int value)
{
        return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

/* Converts unix:@NAME to unix-abstract:NAME, the core's form for an abstract socket. */
static char *target_of(const char *address)
{
        static const char abstract[] = "unix:@";
        char *target;

        if (strncmp(address, abstract, strlen(abstract)) != 0)
                return strdup(address);
        return asprintf(&target, "unix-abstract:%s", address + strlen(abstract)) < 0 ? NULL
                                                                                     : target;
}

/* NULL: there are neither roots nor a client certificate. */
static grpc_tls_certificate_provider *provider_new(const struct rpc_tls *tls)
{
        grpc_tls_identity_pairs *pairs = NULL;

        if (!tls->roots && !tls->certificate)
                return NULL;
        if (tls->certificate) {
                pairs = grpc_tls_identity_pairs_create();
                grpc_tls_identity_pairs_add_pair(pairs, tls->key, tls->certificate);
        }
        return grpc_tls_certificate_provider_static_data_create(tls->roots, pairs);
}

static grpc_channel_credentials *credentials_new(const struct rpc_tls *tls)
{
        grpc_tls_credentials_options *options;
        grpc_tls_certificate_provider *provider;
        grpc_tls_certificate_verifier *verifier;

        if (!tls->wanted)
                return grpc_insecure_credentials_create();
        options = grpc_tls_credentials_options_create();
        provider = provider_new(tls);
        if (provider) {
                grpc_tls_credentials_options_set_certificate_provider(options, provider);
                grpc_tls_certificate_provider_release(provider);
        }
        if (tls->roots)
                grpc_tls_credentials_options_watch_root_certs(options);
        if (tls->certificate)
                grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
        if (tls->pinned) {
                verifier = grpc_tls_certificate_verifier_no_op_create();
                grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
                grpc_tls_certificate_verifier_release(verifier);
                grpc_tls_credentials_options_set_check_call_host(options, 0);
        }
        return grpc_tls_credentials_create(options);
}

static grpc_channel *channel_new(const char *target, const struct rpc_tls *tls)
{
        /* Ignore $http_proxy: it is not meant for bricks. */
        grpc_arg args[] = {
                integer_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
                integer_arg(GRPC_ARG_ENABLE_RETRIES, 0),
                integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, REPLY_MAX),
                { .type = GRPC_ARG_STRING,
                  .key = (char *)GRPC_ARG_PRIMARY_USER_AGENT_STRING,
                  .value.string = (char *)"brickctl/" BRICKD_VERSION },
                { .type = GRPC_ARG_STRING,
                  .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                  .value.string = (char *)tls->name },
        };
        grpc_channel_args list = { ELEMENTSOF(args) - (tls->name ? 0 : 1), args };
        grpc_channel_credentials *credentials = credentials_new(tls);
        grpc_channel *channel = grpc_channel_create(target, credentials, &list);

        grpc_channel_credentials_release(credentials);
        return channel;
}

/* Waits for a batch. False: it failed because the call is over. */
static bool wait_for(struct rpc *rpc, void *tag)
{
        grpc_event event = grpc_completion_queue_pluck(rpc->queue, tag,
                                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

        return event.type == GRPC_OP_COMPLETE && event.success;
}

static bool start_batch(struct rpc *rpc, const grpc_op *ops, size_t n, void *tag)
{
        return grpc_call_start_batch(rpc->call, ops, n, tag, NULL) == GRPC_CALL_OK;
}

static bool start_call(struct rpc *rpc, grpc_metadata *metadata, size_t n_metadata)
{
        const grpc_op open[] = {
                { .op = GRPC_OP_SEND_INITIAL_METADATA,
                  .data.send_initial_metadata = { n_metadata, metadata } },
                { .op = GRPC_OP_RECV_INITIAL_METADATA,
                  .data.recv_initial_metadata.recv_initial_metadata = &rpc->initial },
        };
        const grpc_op status = {
                .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                .data.recv_status_on_client = { .trailing_metadata = &rpc->trailing,
                                                .status = &rpc->status,
                                                .status_details = &rpc->details },
        };

        return start_batch(rpc, open, ELEMENTSOF(open), rpc) &&
               start_batch(rpc, &status, 1, &rpc->status);
}

const char *rpc_metadata_error(const struct rpc_metadata *metadata)
{
        grpc_slice key = grpc_slice_from_static_string(metadata->key);
        grpc_slice value = grpc_slice_from_static_string(metadata->value);

        if (!grpc_header_key_is_legal(key) || strncmp(metadata->key, "grpc-", 5) == 0)
                return "a key is made of a-z, 0-9, '-', '_' and '.', and does not begin with "
                       "\"grpc-\"";
        if (!grpc_is_binary_header(key) && !grpc_header_nonbin_value_is_legal(value))
                return "a value is made of printable ASCII characters, unless its key ends in "
                       "\"-bin\"";
        return NULL;
}

static gpr_timespec deadline_after(int64_t timeout)
{
        if (timeout == 0)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                            gpr_time_from_nanos(timeout, GPR_TIMESPAN));
}

int rpc_new(struct rpc **ret, const char *address, const struct rpc_tls *tls, const char *path,
            const struct rpc_metadata *metadata, size_t n_metadata, int64_t timeout)
{
        _cleanup_(rpc_freep) struct rpc *rpc = NULL;
        _cleanup_free_ grpc_metadata *slices = NULL;
        _cleanup_free_ char *target = target_of(address);
        grpc_slice method;

        rpc = calloc(1, sizeof *rpc);
        slices = calloc(n_metadata + 1, sizeof *slices);
        if (!rpc || !slices || !target)
                return -ENOMEM;
        for (size_t i = 0; i < n_metadata; i++) {
                slices[i].key = grpc_slice_from_static_string(metadata[i].key);
                slices[i].value = grpc_slice_from_static_string(metadata[i].value);
        }

        if (!getenv("GRPC_VERBOSITY"))
                gpr_set_log_function(ignore_line);
        grpc_init();
        grpc_metadata_array_init(&rpc->initial);
        grpc_metadata_array_init(&rpc->trailing);
        rpc->details = grpc_empty_slice();
        rpc->queue = grpc_completion_queue_create_for_pluck(NULL);
        rpc->channel = channel_new(target, tls);
        method = grpc_slice_from_copied_string(path);
        rpc->call = grpc_channel_create_call(rpc->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                             rpc->queue, method, NULL, deadline_after(timeout),
                                             NULL);
        grpc_slice_unref(method);
        if (!start_call(rpc, slices, n_metadata)) {
                rpc->finished = true;
                return -EINVAL;
        }
        *ret = TAKE_PTR(rpc);

        return 0;
}

struct rpc *rpc_free(struct rpc *rpc)
{
        if (!rpc)
                return NULL;

        if (rpc->call) {
                rpc_cancel(rpc);
                (void)rpc_finish(rpc, &(const char *){ NULL });
                grpc_call_unref(rpc->call);
        }
        if (rpc->channel)
                grpc_channel_destroy(rpc->channel);
        grpc_completion_queue_shutdown(rpc->queue);
        grpc_completion_queue_destroy(rpc->queue);
        grpc_metadata_array_destroy(&rpc->initial);
        grpc_metadata_array_destroy(&rpc->trailing);
        grpc_slice_unref(rpc->details);
        gpr_free(rpc->text);
        free(rpc);
        grpc_shutdown();

        return NULL;
}

int rpc_send(struct rpc *rpc, const ProtobufCMessage *message)
{
        size_t size = protobuf_c_message_get_packed_size(message);
        grpc_slice slice = grpc_slice_malloc(size);
        grpc_byte_buffer *buffer;
        grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };
        bool sent;

        (void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
        buffer = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        op.data.send_message.send_message = buffer;
        sent = start_batch(rpc, &op, 1, buffer) && wait_for(rpc, buffer);
        grpc_byte_buffer_destroy(buffer);

        return sent ? 0 : -EPIPE;
}

int rpc_send_end(struct rpc *rpc)
{
        grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };

        return start_batch(rpc, &op, 1, &op) && wait_for(rpc, &op) ? 0 : -EPIPE;
}

static int unpack(grpc_byte_buffer *buffer, const ProtobufCMessageDescriptor *type,
                  ProtobufCMessage **ret)
{
        grpc_byte_buffer_reader reader;
        ProtobufCMessage *message;
        grpc_slice slice;

        if (!grpc_byte_buffer_reader_init(&reader, buffer))
                return -EBADMSG;
        slice = grpc_byte_buffer_reader_readall(&reader);
        message = message_unpack(type, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
        grpc_slice_unref(slice);
        grpc_byte_buffer_reader_destroy(&reader);
        if (!message)
                return -EBADMSG;
        *ret = message;

        return 1;
}

int rpc_receive(struct rpc *rpc, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
        grpc_byte_buffer *buffer = NULL;
        grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &buffer };
        int r;

        if (!start_batch(rpc, &op, 1, &op) || !wait_for(rpc, &op) || !buffer)
                return 0;
        r = unpack(buffer, type, ret);
        grpc_byte_buffer_destroy(buffer);

        return r;
}

void rpc_cancel(struct rpc *rpc)
{
        (void)grpc_call_cancel(rpc->call, NULL);
}

int rpc_finish(struct rpc *rpc, const char **ret_text)
{
        if (!rpc->finished) {
                (void)wait_for(rpc, &rpc->status);
                (void)wait_for(rpc, rpc);
                rpc->text = grpc_slice_to_c_string(rpc->details);
                rpc->finished = true;
        }
        *ret_text = rpc->text;

        return (int)rpc->status;
}

bool rpc_trailer(const struct rpc *rpc, const char *key, size_t index, const void **ret,
                 size_t *ret_length)
{
        for (size_t i = 0; i < rpc->trailing.count; i++) {
                const grpc_metadata *pair = &rpc->trailing.metadata[i];

                if (grpc_slice_str_cmp(pair->key, key) != 0 || index-- > 0)
                        continue;
                *ret = GRPC_SLICE_START_PTR(pair->value);
                *ret_length = GRPC_SLICE_LENGTH(pair->value);
                return true;
        }
        return false;
}

void rpc_print_status(int status, const char *text)
{
        fprintf(stderr, "gRPC error %s: ", grpc_status_to_string((unsigned)status));
        output_text(stderr, text);
        fputc('\n', stderr);
}

/* SPDX-License-Identifier: MIT */

/*
 * A Common brick that asks an LLM brick, for the tests of bricks that call each other. Unary:
 * { prompt: "..." } gives { text: "..." }. OutputStreaming: one { text: "..." } for each reply, and
 * no more asked for than the client takes.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

struct brick_instance {
        struct brick_target *target;
};

/*
 * One call and the one it makes. The callee's thread runs on_message() and on_done(), the caller's
 * pipeline_writable(); the lock says which of them uses the call.
 */
struct relay {
        struct brick_call *call;
        struct brick_child *child;
        pthread_mutex_t lock;
        char *text;   /* a reply that has not been sent: the window may have no room for it */
        bool sending; /* somebody tries to */
        bool room;    /* writable() came while he did */
        bool ended;   /* the outcome is known */

        uint32_t status;
        int32_t code;
        char *message, *detail;
};

static void relay_destroy(void *data)
{
        struct relay *relay = data;

        if (relay->child)
                brick_host->child_free(relay->child);
        (void)pthread_mutex_destroy(&relay->lock);
        free(relay->text);
        free(relay->message);
        free(relay->detail);
        free(relay);
}

/* On the heap, since a stream may be longer than the call's arena is large. */
static int send_text(struct brick_call *call, char *text)
{
        Google__Protobuf__Struct__FieldsEntry entry;
        Google__Protobuf__Struct__FieldsEntry *entries[] = { &entry };
        CommonResponse response;
        Struct data;
        Value value;

        google__protobuf__value__init(&value);
        value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value.string_value = text;
        google__protobuf__struct__fields_entry__init(&entry);
        entry.key = (char *)"text";
        entry.value = &value;
        google__protobuf__struct__init(&data);
        data.n_fields = 1;
        data.fields = entries;
        protocols__grpc__common__common_response__init(&response);
        response.data = &data;
        return brick_send(call, &response.base);
}

static void relay_finish(struct relay *relay)
{
        if (relay->status != 0)
                brick_host->call_finish(relay->call, relay->status, brick_str(relay->message));
        else if (relay->code != 200)
                (void)brick_fail(relay->call, relay->code, relay->message, relay->detail);
        else
                brick_finish(relay->call);
}

/* Lock held. False: not sent, writable() will come. */
static bool relay_send(struct relay *relay)
{
        int r = 0;

        do {
                relay->room = false;
                (void)pthread_mutex_unlock(&relay->lock);
                if (relay->text)
                        r = send_text(relay->call, relay->text);
                (void)pthread_mutex_lock(&relay->lock);
        } while (r == -EAGAIN && relay->room);
        if (r == -EAGAIN)
                return false;
        free(relay->text);
        relay->text = NULL;
        return true;
}

/* Sends what waits, then asks for more. */
static void relay_step(struct relay *relay)
{
        bool ended, sent;

        (void)pthread_mutex_lock(&relay->lock);
        if (relay->sending) {
                relay->room = true;
                (void)pthread_mutex_unlock(&relay->lock);
                return;
        }
        relay->sending = true;
        sent = relay_send(relay);
        relay->sending = false;
        ended = relay->ended;
        (void)pthread_mutex_unlock(&relay->lock);

        if (sent && ended)
                relay_finish(relay);
        else if (sent)
                brick_host->child_recv(relay->child);
}

static void on_message(void *user, struct brick_bytes message)
{
        struct relay *relay = user;
        LLMResponse *reply;

        reply = protocols__grpc__llm__llmresponse__unpack(NULL, message.len, message.ptr);
        if (reply) {
                relay->text = strdup(reply->text);
                protocols__grpc__llm__llmresponse__free_unpacked(reply, NULL);
        }
        relay_step(relay);
}

/* strndup() of a text without a NUL is refused by AddressSanitizer's strict_string_checks. */
static char *copy_text(struct brick_str text)
{
        char *copy = calloc(1, text.len + 1);

        if (copy && text.len > 0)
                memcpy(copy, text.ptr, text.len);
        return copy;
}

/* It may come while the last reply still waits for room. */
static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct relay *relay = user;
        bool idle;

        relay->status = outcome->status;
        relay->code = outcome->code;
        relay->message = copy_text(outcome->message);
        relay->detail = copy_text(outcome->detail);

        (void)pthread_mutex_lock(&relay->lock);
        relay->ended = true;
        idle = !relay->text && !relay->sending;
        (void)pthread_mutex_unlock(&relay->lock);
        if (idle)
                relay_finish(relay);
}

static const struct brick_child_ops child_ops = {
        .struct_size = sizeof child_ops,
        .message = on_message,
        .done = on_done,
};

static int pipeline_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct brick_bytes bytes = brick_host->call_request(call);
        LLMRequest prompt = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        CommonRequest *request;
        struct relay *relay;
        uint8_t *packed;
        int r;

        request = brick_unpack(call, &protocols__grpc__common__common_request__descriptor, bytes);
        if (!request)
                return -ENOMEM;
        prompt.prompt = (char *)brick_struct_get_string(request->data, "prompt");
        if (!prompt.prompt) {
                (void)brick_fail(call, BRICK_E_PARAMETER_MISSING, "There is no prompt.", NULL);
                return 0;
        }
        packed = brick_alloc(call, protobuf_c_message_get_packed_size(&prompt.base));
        relay = calloc(1, sizeof *relay);
        if (!packed || !relay) {
                free(relay);
                return -ENOMEM;
        }
        relay->call = call;
        (void)pthread_mutex_init(&relay->lock, NULL);
        brick_host->call_set_data(call, relay, relay_destroy);
        bytes = (struct brick_bytes){ packed, protobuf_c_message_pack(&prompt.base, packed) };
        r = brick_host->child_start(call, self->target, method, bytes, &child_ops, relay,
                                    &relay->child);
        if (r < 0)
                return r;
        brick_host->child_recv(relay->child);
        return 0;
}

static void pipeline_writable(struct brick_instance *self, struct brick_call *call)
{
        relay_step(brick_host->call_data(call));
}

static int pipeline_create(const struct brick_host *host, struct brick_ctx *ctx,
                           const struct brick_node *config, struct brick_instance **ret)
{
        const struct brick_node *node = host->node_get(config, "target");
        struct brick_target *target = host->target(ctx, node);
        struct brick_instance *self;

        brick_sdk_init(host);
        if (!target)
                return -EINVAL;
        if (host->target_type(target) != BRICK_TYPE_LLM) {
                brick_node_errorf(host, ctx, node, "is not the name of an LLM brick");
                return -EINVAL;
        }
        self = calloc(1, sizeof *self);
        if (!self)
                return -ENOMEM;
        self->target = target;
        *ret = self;
        return 0;
}

static void pipeline_destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option pipeline_options[] = {
        { .name = "target",
          .type = BRICK_TARGET,
          .flags = BRICK_OPTION_REQUIRED,
          .summary = "the LLM brick to ask" },
        {},
};

BRICK_MODULE(.type = BRICK_TYPE_COMMON,
             .methods = 1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_OUTPUT_STREAMING,
             .name = "pipeline", .version = "1.0", .summary = "asks an LLM brick",
             .options = pipeline_options, .create = pipeline_create, .destroy = pipeline_destroy,
             .start = pipeline_start, .writable = pipeline_writable);

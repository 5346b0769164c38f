/* SPDX-License-Identifier: MIT */

/*
 * Uses every function of brick ABI 1.2, without the SDK: a Common brick that is not blocking. Its
 * Unary answers { word: WORD } from the option `word`, or misbehaves as the option says; its
 * BidiStreaming sends back what it gets. everything.so was built from this file and the brick.h of
 * ABI 1.2 once, and is never built again: brickd must load it for ever.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "brick.h"

struct brick_instance {
        const struct brick_host *host;
        struct brick_ctx *ctx;
        char word[64];
        int64_t fail; /* in-band code of every Unary; 0: none */
};

/* One bidi call: a message that could not be sent yet. */
struct echo {
        const struct brick_host *host;
        void *pending;
        size_t length;
};

static void echo_destroy(void *data)
{
        struct echo *echo = data;

        free(echo->pending);
        free(echo);
}

static int read_options(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_host *host = self->host;
        const struct brick_node *list = host->node_get(config, "list");
        const struct brick_node *word = host->node_get(config, "word");
        struct brick_str text = host->node_str(word);

        if (host->node_type(word) != BRICK_STRING || text.len >= sizeof self->word) {
                brick_node_errorf(host, self->ctx, word, "expected a short word");
                return -EINVAL;
        }
        memcpy(self->word, text.ptr, text.len);
        self->fail = host->node_int(host->node_get(config, "fail"));
        if (host->node_size(list) != 2 || host->node_int(host->node_at(list, 1)) != 7 ||
            host->node_size(config) == 0 || host->node_key(config, 0).len == 0 ||
            host->node_float(host->node_get(config, "half")) != 0.5)
                return -EINVAL;
        return 0;
}

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        self->host = host;
        self->ctx = ctx;
        r = read_options(self, config);
        if (r == 0 && (host->name(ctx).len == 0 || host->type(ctx) != BRICK_TYPE_COMMON ||
                       !BRICK_HAS(host, call_tracestate) || host->abi_major != 1))
                r = -ENOTSUP;
        if (r < 0) {
                free(self);
                return r;
        }
        host->set_health(ctx, 0, brick_str("not yet"));
        host->set_health(ctx, 1, brick_str(NULL));
        if (host->log_wanted(ctx, BRICK_LOG_NOTICE))
                brick_logf(host, ctx, BRICK_LOG_NOTICE, "made for ABI 1.2 with %s", self->word);
        *ret = self;
        return 0;
}

static void drain(struct brick_instance *self)
{
        brick_logf(self->host, self->ctx, BRICK_LOG_NOTICE, "drains");
}

static void destroy(struct brick_instance *self)
{
        free(self);
}

/* CommonResponse { data { fields { key: "word" value { string_value: WORD } } } } */
static size_t put_word(unsigned char *p, const char *word)
{
        unsigned char n = (unsigned char)strlen(word);
        const unsigned char head[] = { 0x0a, (unsigned char)(n + 12),
                                       0x0a, (unsigned char)(n + 10),
                                       0x0a, 4,
                                       'w',  'o',
                                       'r',  'd',
                                       0x12, (unsigned char)(n + 2),
                                       0x1a, n };

        memcpy(p, head, sizeof head);
        memcpy(p + sizeof head, word, n);
        return sizeof head + n;
}

static int unary(struct brick_instance *self, struct brick_call *call)
{
        const struct brick_host *host = self->host;
        struct brick_str key, value, state = host->call_tracestate(call);
        unsigned char *reply, *scratch = host->call_alloc(call, 100, 8);

        if (!scratch || host->call_request(call).len > 1000 || host->call_cancelled(call) ||
            host->call_deadline(call) == 0 || host->call_peer(call).len == 0 ||
            host->call_identity(call).len > 0 || state.len > 0 ||
            !host->call_metadata_at(call, 0, &key, &value))
                return -EINVAL;
        if (host->call_trailer(call, brick_str("x-trace"), host->call_traceparent(call)) < 0 ||
            host->call_trailer(call, brick_str("x-word"), host->call_metadata(call, "x-ask")) < 0)
                return -EINVAL;
        if (self->fail != 0) {
                host->call_fail(call, (int32_t)self->fail, brick_str("as asked"), brick_str("1.2"));
                return 0;
        }
        reply = host->call_reserve(call, 100);
        if (!reply || host->call_commit(call, put_word(reply, self->word)) < 0)
                return -ENOMEM;
        host->call_finish(call, 0, brick_str(NULL));
        return 0;
}

static int start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        struct echo *echo;

        if (method == BRICK_METHOD_UNARY)
                return unary(self, call);
        if (method != BRICK_METHOD_BIDI_STREAMING)
                return -ENOSYS;
        echo = calloc(1, sizeof *echo);
        if (!echo)
                return -ENOMEM;
        echo->host = self->host;
        self->host->call_set_data(call, echo, echo_destroy);
        self->host->call_recv(call);
        return 0;
}

static void send(struct brick_call *call, struct echo *echo, struct brick_bytes bytes)
{
        int r = echo->host->call_send(call, bytes);
        void *copy;

        if (r == -EAGAIN) {
                if (echo->pending)
                        return;
                copy = malloc(bytes.len + 1);
                if (copy) {
                        memcpy(copy, bytes.ptr, bytes.len);
                        echo->pending = copy;
                        echo->length = bytes.len;
                        return;
                }
        }
        free(echo->pending);
        echo->pending = NULL;
        if (r == 0)
                echo->host->call_recv(call);
        else
                echo->host->call_finish(call, 14, brick_str("the client is gone"));
}

static void message(struct brick_instance *self, struct brick_call *call,
                    const struct brick_bytes *bytes)
{
        if (bytes)
                send(call, self->host->call_data(call), *bytes);
        else
                self->host->call_finish(call, 0, brick_str(NULL));
}

static void writable(struct brick_instance *self, struct brick_call *call)
{
        struct echo *echo = self->host->call_data(call);
        struct brick_bytes bytes = { echo->pending, echo->length };

        if (echo->pending)
                send(call, echo, bytes);
}

static const struct brick_option options[] = {
        { .name = "word", .type = BRICK_STRING, .fallback = "hello", .summary = "the answer" },
        { .name = "fail", .type = BRICK_INT, .fallback = "0", .min = 0, .max = 10000 },
        { .name = "half", .type = BRICK_FLOAT, .fallback = "0.5" },
        { .name = "list", .type = BRICK_LIST, .flags = BRICK_OPTION_REQUIRED },
        { .name = NULL },
};

BRICK_MODULE(.type = BRICK_TYPE_COMMON,
             .methods = 1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_BIDI_STREAMING,
             .name = "everything", .version = "1.2", .summary = "of ABI 1.2", .options = options,
             .create = create, .drain = drain, .destroy = destroy, .start = start,
             .message = message, .writable = writable);

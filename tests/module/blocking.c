/* SPDX-License-Identifier: MIT */

/*
 * A Common brick that waits wherever a blocking brick may: Unary for the option `delay`,
 * OutputStreaming for its client to read an endless stream, InputStreaming and BidiStreaming for
 * their requests. It logs how its calls end: the status of the last wait, and of how many messages.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"

struct brick_instance {
        struct brick_ctx *ctx;
        int64_t delay; /* ns */
};

/* CommonResponse { data: {} }, made large by an unknown field. */
static struct brick_bytes reply(void)
{
        static char bytes[10000] = { 0x0a, 0x00, 0x7a, (char)0x8a, 0x4e };

        return (struct brick_bytes){ bytes, 5 + 9994 };
}

static int wait_for_delay(struct brick_instance *self, struct brick_call *call)
{
        const struct timespec slice = { .tv_nsec = 5000000 };

        for (int64_t left = self->delay; left > 0; left -= slice.tv_nsec) {
                if (brick_host->call_cancelled(call))
                        return -ECANCELED;
                (void)nanosleep(&slice, NULL);
        }
        return brick_host->call_send(call, reply());
}

static int read_all(struct brick_call *call, bool echo, unsigned *n)
{
        struct brick_bytes message;
        int r;

        while ((r = brick_host->call_read(call, &message)) > 0) {
                (*n)++;
                if (echo)
                        r = brick_host->call_send(call, reply());
                if (r < 0)
                        return r;
        }
        return r == 0 && !echo ? brick_host->call_send(call, reply()) : r;
}

static int blocking_start(struct brick_instance *self, struct brick_call *call, uint32_t method)
{
        unsigned n = 0;
        int r = 0;

        switch (method) {
        case BRICK_METHOD_UNARY:
                r = wait_for_delay(self, call);
                break;
        case BRICK_METHOD_OUTPUT_STREAMING:
                while ((r = brick_host->call_send(call, reply())) == 0)
                        n++;
                break;
        default:
                r = read_all(call, method == BRICK_METHOD_BIDI_STREAMING, &n);
        }
        brick_logf(brick_host, self->ctx, BRICK_LOG_INFO, "method %u: %s after %u messages",
                   (unsigned)method, r == 0 ? "done" : strerrorname_np(-r), n);
        brick_host->call_finish(call, 0, brick_str(NULL));
        return 0;
}

static int blocking_create(const struct brick_host *host, struct brick_ctx *ctx,
                           const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);

        if (!self)
                return -ENOMEM;
        brick_sdk_init(host);
        self->ctx = ctx;
        self->delay = host->node_int(host->node_get(config, "delay"));
        *ret = self;
        return 0;
}

static void blocking_destroy(struct brick_instance *self)
{
        free(self);
}

static const struct brick_option blocking_options[] = {
        { .name = "delay",
          .type = BRICK_DURATION,
          .fallback = "0s",
          .summary = "time that a unary call takes" },
        {},
};

BRICK_MODULE(.type = BRICK_TYPE_COMMON, .flags = BRICK_FLAG_BLOCKING,
             .methods = 1u << BRICK_METHOD_UNARY | 1u << BRICK_METHOD_OUTPUT_STREAMING |
                        1u << BRICK_METHOD_INPUT_STREAMING | 1u << BRICK_METHOD_BIDI_STREAMING,
             .name = "blocking", .version = "1.0", .summary = "waits", .options = blocking_options,
             .create = blocking_create, .destroy = blocking_destroy, .start = blocking_start);

/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <stdlib.h>
#include <time.h>

uint64_t clock_ns(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void ask_free(struct ask *ask)
{
        brick_host->child_free(ask->child);
        free(ask);
}

static void on_message(void *user, struct brick_bytes message)
{
        struct ask *ask = user;

        if (!ask->run->over && !ask->cancelled && ask->message)
                ask->message(ask, message);
}

static void on_done(void *user, const struct brick_outcome *outcome)
{
        struct ask *ask = user;

        if (!ask->run->over && !ask->cancelled)
                ask->done(ask, outcome);
        ask_free(ask);
}

static const struct brick_child_ops ops = {
        .struct_size = sizeof ops,
        .message = on_message,
        .done = on_done,
};

static int start(struct ask *ask, struct brick_target *target, uint32_t method,
                 const ProtobufCMessage *request)
{
        const struct brick_child_options options = {
                .struct_size = sizeof options,
                .deadline = ask->step->timeout > 0 ? clock_ns() + ask->step->timeout : 0,
                .name = brick_str(ask->name ? ask->name : ask->step->name),
        };
        size_t size = protobuf_c_message_get_packed_size(request);
        uint8_t small[512];
        uint8_t *packed = size <= sizeof small ? small : malloc(size);
        int r;

        if (!packed)
                return -ENOMEM;
        (void)protobuf_c_message_pack(request, packed);
        r = brick_host->child_start_with(ask->run->call, target, method,
                                         (struct brick_bytes){ packed, size }, &options, &ops, ask,
                                         &ask->child);
        if (packed != small)
                free(packed);
        return r;
}

int ask_start(struct ask **ret, const struct ask *what, struct brick_target *target,
              uint32_t method, const ProtobufCMessage *request)
{
        struct ask *ask = malloc(sizeof *ask);
        int r;

        if (!ask)
                return -ENOMEM;
        *ask = *what;
        r = start(ask, target, method, request);
        if (r < 0) {
                free(ask);
                return r;
        }
        *ret = ask;
        return 0;
}

void ask_next(struct ask *ask)
{
        brick_host->child_recv(ask->child);
}

void ask_cancel(struct ask *ask)
{
        ask->cancelled = true;
        brick_host->child_cancel(ask->child);
}

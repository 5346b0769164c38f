/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "rpc/call.h"
#include "rpc/merge.h"
#include "rpc/reply.h"
#include "rpc/server.h"
#include "serve/budget.h"
#include "serve/errors.h"
#include "serve/fault.h"
#include "serve/validate.h"
#include "util/clock.h"

/* The most messages that become one: 256 KiB at most. */
#define MERGE_MAX 64

static void set_length(grpc_slice *slice, size_t length)
{
        GRPC_SLICE_SET_LENGTH(*slice, length);
}

static struct rpc_reply *reply_alloc(size_t size)
{
        const size_t align = _Alignof(struct rpc_reply);
        grpc_slice slice = grpc_slice_malloc(size + align + sizeof(struct rpc_reply));
        uintptr_t end = (uintptr_t)GRPC_SLICE_START_PTR(slice) + size;
        struct rpc_reply *reply = (struct rpc_reply *)((end + align - 1) & ~(uintptr_t)(align - 1));

        *reply = (struct rpc_reply){ .base.data = GRPC_SLICE_START_PTR(slice), .slice = slice };
        return reply;
}

struct reply *rpc_reply_new(struct call *base, size_t size)
{
        const struct rpc_method *method = rpc_method_of(rpc_call_of(base));
        /* Room for what rpc_reply_seal() adds. */
        struct rpc_reply *reply = reply_alloc(size + sizeof method->success +
                                              method->base.route->service->empty_size);

        reply->base.size = size;
        return &reply->base;
}

/* Lock held. A stream writes one large message at a time; those of all streams of a connection may
 * still be too much. */
static bool has_too_much(struct rpc_call *call, size_t size)
{
        struct unread *unread = &rpc_port_of(call)->rpc->unread;
        const struct call *base = &call->served.base;

        return size > RPC_UNREAD_MIN && !call_is_single(base) && unread_any(unread) &&
               unread_is_too_much(unread, rpc_call_connection(call), base->max_reply, clock_now());
}

/* A good reply ends with `error { code: 200 }`, and a Struct that the brick left out is there,
 * empty. */
int rpc_reply_seal(struct call *base, struct reply *r)
{
        const struct rpc_method *method = rpc_method_of(rpc_call_of(base));
        struct rpc_reply *reply = (struct rpc_reply *)r;
        char *bytes = (char *)GRPC_SLICE_START_PTR(reply->slice);
        const struct service *service = method->base.route->service;

        if (!validate_message(method->base.reply, bytes, r->size, method->base.error_field))
                return fault_of_reply(method->base.reply, bytes, r->size);
        if (has_too_much(rpc_call_of(base), r->size))
                return -ENOBUFS;
        if (rpc_call_of(base)->served.budget)
                budget_count_reply(&rpc_call_of(base)->served, bytes, r->size);
        if (r->size == 0 && service->empty_size > 0 &&
            method->base.method != BRICK_METHOD_SERVICE_INFO) {
                memcpy(bytes, service->empty, service->empty_size);
                r->size = service->empty_size;
        }
        memcpy(bytes + r->size, method->success, sizeof method->success);
        r->size += sizeof method->success;
        set_length(&reply->slice, r->size);
        reply->good = true;
        return 0;
}

void rpc_queue_error(struct rpc_call *call)
{
        const uint32_t field = call->served.method->error_field;
        struct call *base = &call->served.base;
        size_t size = errors_field_size(field, &base->outcome);
        struct rpc_reply *reply = reply_alloc(size);

        errors_put_field(reply->base.data, field, &base->outcome);
        reply->base.size = size;
        set_length(&reply->slice, size);
        call_push_reply(base, &reply->base);
}

struct rpc_reply *rpc_merge_queued(struct rpc_call *call, struct rpc_reply *first)
{
        const struct rpc_method *method = rpc_method_of(call);
        const size_t success = sizeof method->success;
        struct call *base = &call->served.base;
        struct reply *parts[MERGE_MAX] = { &first->base };
        struct brick_bytes pieces[MERGE_MAX];
        size_t size = MERGE_EXTRA + success, counted = 0, n = 1;
        struct rpc_reply *merged;

        while (n < MERGE_MAX && rpc_reply_can_merge(base->outbox))
                parts[n++] = call_take_reply(base);
        for (size_t i = 0; i < n; i++) {
                pieces[i] = (struct brick_bytes){ parts[i]->data, parts[i]->size - success };
                counted += parts[i]->size + CALL_REPLY_OVERHEAD;
                size += parts[i]->size;
        }

        merged = reply_alloc(size);
        size = merge_replies(merged->base.data, pieces, n);
        memcpy((char *)merged->base.data + size, method->success, success);
        merged->base.size = size + success;
        set_length(&merged->slice, merged->base.size);
        merged->counted = counted - CALL_REPLY_OVERHEAD;
        for (size_t i = 0; i < n; i++)
                rpc_reply_free(base, parts[i]);
        return merged;
}

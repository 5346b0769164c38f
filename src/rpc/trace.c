/* SPDX-License-Identifier: MIT */
#include "rpc/trace.h"

#include <string.h>

#include "module/instance.h"
#include "rpc/access.h"
#include "rpc/server.h"
#include "util/utf8.h"

void trace_begin(struct rpc_call *call)
{
        struct call *base = &call->base;
        struct trace_context parent;
        bool has_parent = call_caller_trace(base, &parent);

        span_begin(&base->span, call->port->rpc->tracer, has_parent ? &parent : NULL,
                   base->started);
}

void trace_end(const struct rpc_call *call, const struct rpc_end *end)
{
        const struct call *base = &call->base;
        struct span_record record;
        struct brick_str id;

        if (!span_is_recorded(&base->span))
                return;
        id = access_request_id(call);
        record = (struct span_record){
                .span = base->span,
                .ended = base->started + end->duration,
                .brick = base->instance ? base->instance->conf->name : NULL,
                .type = call->method ? call->method->route->service->type : 0,
                .method = base->method,
                .status = end->status,
                .in_band = end->in_band,
                .code = end->code,
                .request_id_length = utf8_prefix(id.ptr, id.len, SPAN_REQUEST_ID_MAX),
        };
        if (id.len > 0)
                memcpy(record.request_id, id.ptr, record.request_id_length);
        span_end(&record);
}

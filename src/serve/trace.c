/* SPDX-License-Identifier: MIT */
#include "serve/trace.h"

#include <string.h>

#include "module/instance.h"
#include "serve/access.h"
#include "serve/genai.h"
#include "serve/peer.h"
#include "serve/served.h"
#include "util/utf8.h"

void trace_begin(struct served *call)
{
        struct call *base = &call->base;
        struct trace_context parent;
        bool has_parent = call_caller_trace(base, &parent);

        span_begin(&base->span, call->port->serve->tracer, has_parent ? &parent : NULL,
                   base->started);
}

/* Empty, if it has no address. */
static void put_client(struct served *call, char ret[static IP_TEXT_MAX])
{
        unsigned char ip[IP_BYTES];

        if (peer_ip(call->base.transport->peer(&call->base), ip))
                ip_print(ip, ret);
}

void trace_end(struct served *call, const struct served_end *end)
{
        struct call *base = &call->base;
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
                .http_route = call->http_route,
                .http_status = call->http_status,
                .request_id_length = utf8_prefix(id.ptr, id.len, SPAN_REQUEST_ID_MAX),
        };
        record.has_genai = genai_of_call(&record.genai, call, end);
        if (id.len > 0)
                memcpy(record.request_id, id.ptr, record.request_id_length);
        put_client(call, record.client);
        span_end(&record);
}

/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "module/instance.h"
#include "serve/access.h"
#include "serve/admission.h"
#include "serve/budget.h"
#include "serve/dispatch.h"
#include "serve/genai.h"
#include "serve/stats.h"
#include "serve/trace.h"
#include "util/clock.h"

/* As llmbrick's Python library says it. */
#define DECODE_ERROR "Unexpected <class 'google.protobuf.message.DecodeError'>: "

void serve_method_init(struct serve_method *method, const struct route *route, uint32_t number)
{
        const struct service *service = route->service;

        method->route = route;
        method->method = number;
        method->request = service_request(service, number);
        method->reply = service_reply(service, number);
        method->error_field = service_error_field(service, number);
        (void)snprintf(method->request_error, sizeof method->request_error,
                       DECODE_ERROR "Error parsing message with type '%s'", method->request->name);
        method->parse_error = method->request_error + strlen(DECODE_ERROR);
        (void)snprintf(method->path, sizeof method->path, "/%s/%s", service->name,
                       brick_method_to_string(number));
}

/* --- a call begins ----------------------------------------------------------------------------
 */

static void reset(struct served *call)
{
        call->peer = NULL;
        call->writing = false;
        call->moves = 0;
        call->owes_reply = false;
        call->expired = false;
        call->raised = false;
        call->retry_ms = 0;
        call->stats = NULL;
        call->last_sent = 0;
        call->who = NULL;
        call->counted = false;
        call->budget = NULL;
        call->deadline_index = 0;
        call->stall.listed = false;
        call->http_route = NULL;
        call->http_status = 0;
}

void served_begin(struct served *call, uint64_t deadline)
{
        const struct serve *serve = call->port->serve;
        const struct conf_port *conf = call->port->conf;
        struct call *base = &call->base;

        reset(call);
        call_reset(base, NULL, call->method ? call->method->method : BRICK_METHOD_UNARY, 0);
        base->window = (size_t)conf->window;
        base->max_reply = (size_t)conf->max_reply;
        base->started = clock_now();
        base->deadline = deadline;
        base->timed = serve->conf->log_slow > 0;
        if (serve->tracer)
                trace_begin(call);
        if (serve->conf->log_access != ACCESS_OFF || base->timed)
                (void)base->transport->peer(base); /* the connection may close before the line */
}

void served_refuse(struct served *call, unsigned status, const char *message)
{
        const struct outcome outcome = { .status = status, .message = brick_str(message) };

        call_refuse(&call->base, &outcome);
}

/* --- its brick --------------------------------------------------------------------------------
 */

/* The brick's own timeout, if the client's deadline is not earlier. */
static void set_deadline(struct served *call, const struct instance *instance)
{
        struct call *base = &call->base;
        uint64_t own = instance->limits.timeout > 0
                               ? base->started + (uint64_t)instance->limits.timeout
                               : UINT64_MAX;

        if (own < base->deadline) {
                base->deadline = own;
                deadlines_add(&call->port->serve->deadlines, call);
        }
}

/* This thread may enter the brick right here, unless such calls have a runner of their own. */
static void start(struct call *base)
{
        if (runner_is_here(base->runner)) {
                call_start(base);
        } else {
                call_watch(base);
                call_post_start(base);
        }
}

/* Hands the call to its instance. */
static void admit(struct served *call, struct instance *instance)
{
        struct call *base = &call->base;

        set_deadline(call, instance);
        stall_add(&call->port->serve->stalls, call);
        call_choose_runner(base);
        if (call_admit(base))
                start(base);
        else
                call_watch(base);
}

void served_dispatch(struct served *call)
{
        struct call *base = &call->base;

        served_dispatch_to(call, route_find(call->method->route, call_metadata(base, "x-brick"),
                                            base->request));
}

void served_dispatch_to(struct served *call, struct instance *instance)
{
        struct call *base = &call->base;
        struct outcome outcome;

        if (!admission_permit(call, instance, &outcome)) {
                call_refuse(base, &outcome);
                return;
        }
        if (!instance) {
                stats_reject(call->port->stats, STATS_REJECTED_BRICK);
                served_refuse(call, STATUS_NOT_FOUND,
                              "No brick of this type has the name that x-brick asks for");
                return;
        }
        base->instance = instance;
        stats_begin(call);
        arena_limit(&base->arena, (size_t)instance->limits.arena);
        if (!(instance->brick->methods & (1u << base->method))) {
                outcome = outcome_no_handler(base->method);
                call_refuse(base, &outcome);
                return;
        }
        admit(call, instance);
}

/* --- a call ends ------------------------------------------------------------------------------
 */

static unsigned end_status(const struct served *call, bool cancelled, uint64_t now)
{
        if (call->expired || (cancelled && call->base.deadline <= now))
                return STATUS_DEADLINE_EXCEEDED;
        if (cancelled)
                return atomic_load(&call->port->serve->cancelling) ? STATUS_UNAVAILABLE
                                                                   : STATUS_CANCELLED;
        return call->base.outcome.in_band ? STATUS_OK : call->base.outcome.status;
}

/* A brick may still hold a call that its client has given up: what it does next does not count. */
static void describe_stages(struct call *base, uint64_t now, struct served_end *end)
{
        uint64_t given, settled;

        call_lock(base);
        given = base->given_at;
        settled = base->settled_at;
        call_unlock(base);
        if (settled == 0 || settled > now)
                settled = now;
        if (given == 0 || given > settled)
                given = settled;
        end->queued = given - base->started;
        end->brick = settled - given;
        end->writing = now - settled;
}

static struct served_end describe_end(struct served *call, bool cancelled)
{
        const struct outcome *outcome = &call->base.outcome;
        uint64_t now = clock_now();
        unsigned status = end_status(call, cancelled, now);
        bool in_band = (status == STATUS_OK && outcome->in_band) ||
                       (call->raised && status == outcome->status);
        struct served_end end = {
                .status = status,
                .in_band = in_band,
                .code = in_band ? outcome->code : 200,
                .duration = now - call->base.started,
        };

        if (call->base.timed)
                describe_stages(&call->base, now, &end);
        return end;
}

void served_end(struct served *call, bool cancelled)
{
        const struct served_end end = describe_end(call, cancelled);

        if (call->budget)
                budget_end(call, cancelled);
        deadlines_remove(&call->port->serve->deadlines, call);
        stall_remove(call);
        stats_end(call, &end);
        if (call->port->serve->conf->metrics_genai)
                genai_count(call, &end);
        access_log(call, &end);
        if (call->base.span.tracer)
                trace_end(call, &end);
        call_unref(&call->base);
}

/* SPDX-License-Identifier: MIT */
#include "http/call-own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/exchange-own.h"
#include "http/explain.h"
#include "http/limits.h"
#include "http/outcome.h"
#include "module/instance.h"
#include "serve/admission.h"
#include "serve/budget.h"
#include "serve/dispatch.h"
#include "serve/errors.h"
#include "serve/stats.h"
#include "util/account.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* The first block of a call's arena, in which brick_alloc() takes memory: bricks that have
 * thousands of streams keep little there. It leaves nothing of malloc()'s unused. */
#define CALL_ARENA 440

static struct call *base_of(struct http_call *call)
{
        return &call->served.base;
}

/* --- a call begins ------------------------------------------------------------------------------
 */

/* Fields that are for the door, or for nobody behind it. */
static bool is_for_bricks(struct http_text name)
{
        static const char *const others[] = {
                "authorization",
                "connection",
                "content-length",
                "cookie",
                "expect",
                "host",
                "keep-alive",
                "proxy-authorization",
                "te",
                "trailer",
                "transfer-encoding",
                "upgrade",
                EXPLAIN_FIELD,
                "x-request-id",
        };

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (http_text_is(name, others[i]))
                        return false;
        return true;
}

static void add_pair(struct http_call *call, char **next, struct brick_str key,
                     struct brick_str value)
{
        struct brick_pair *pair = &call->metadata[call->n_metadata++];

        pair->key = (struct brick_str){ memcpy(*next, key.ptr, key.len), key.len };
        *next += key.len;
        pair->value = (struct brick_str){ memcpy(*next, value.ptr, value.len), value.len };
        *next += value.len;
}

/* Copies what the brick may ask for: it may hold the call longer than the client waits. */
static bool copy_request(struct http_call *call, const struct exchange *x,
                         const struct exchange_call *request)
{
        static const struct brick_str id_key = { "x-request-id", 12 };
        const struct brick_str explain_key = brick_str(EXPLAIN_FIELD), explain = brick_str("1");
        const struct http_head *head = x->head;
        struct brick_str id = brick_str(x->id);
        size_t pairs = 2 + request->n_metadata, size, n_peer = strlen(x->peer) + 1;
        char *next;

        for (size_t i = 0; i < head->n_fields; i++)
                pairs += is_for_bricks(head->fields[i].name);
        size = n_peer + pairs * sizeof *call->metadata +
               request->n_requests * sizeof *call->messages + id_key.len + id.len +
               explain_key.len + explain.len;
        for (size_t i = 0; i < head->n_fields; i++)
                if (is_for_bricks(head->fields[i].name))
                        size += head->fields[i].name.length + head->fields[i].value.length;
        for (size_t i = 0; i < request->n_metadata; i++)
                size += request->metadata[i].key.len + request->metadata[i].value.len;
        for (size_t i = 0; i < request->n_requests; i++)
                size += request->requests[i].len;
        if (size > ARENA_FREE) {
                if (!account_take(size, 0))
                        return false;
                call->counted = size;
        }
        call->memory = malloc(size);
        if (!call->memory)
                return false;
        call->metadata = call->memory;
        call->messages = (struct brick_bytes *)(call->metadata + pairs);
        next = (char *)(call->messages + request->n_requests);
        call->peer = memcpy(next, x->peer, n_peer);
        next += n_peer;
        add_pair(call, &next, id_key, id);
        if (exchange_is_explained(x))
                add_pair(call, &next, explain_key, explain);
        for (size_t i = 0; i < request->n_metadata; i++)
                add_pair(call, &next, request->metadata[i].key, request->metadata[i].value);
        for (size_t i = 0; i < head->n_fields; i++)
                if (is_for_bricks(head->fields[i].name))
                        add_pair(call, &next,
                                 (struct brick_str){ head->fields[i].name.ptr,
                                                     head->fields[i].name.length },
                                 (struct brick_str){ head->fields[i].value.ptr,
                                                     head->fields[i].value.length });
        for (size_t i = 0; i < request->n_requests; i++) {
                struct brick_bytes message = request->requests[i];

                if (message.len > 0)
                        memcpy(next, message.ptr, message.len);
                call->messages[call->n_messages++] = (struct brick_bytes){ next, message.len };
                next += message.len;
        }
        return true;
}

static void deliver(struct run_item *item);

static struct http_call *http_call_new(struct exchange *x, const struct exchange_call *request)
{
        struct http_port *port = x->connection->port;
        struct http_call *call = calloc(1, sizeof *call);

        if (!call)
                return NULL;
        if (call_init(base_of(call), &http_transport) < 0) {
                free(call);
                return NULL;
        }
        arena_expect(&base_of(call)->arena, CALL_ARENA);
        call->door = port->door;
        call->exchange = x;
        call->peer = "";
        call->ops = request->ops;
        call->item.run = deliver;
        call->heard = clock_now();
        call->served.port = &port->base;
        call->served.method = door_port_method(port, request->brick->type, request->method);
        call->connection = (uintptr_t)x->connection;
        (void)atomic_fetch_add(&port->door->in_flight, 1);
        return call;
}

/* A stream of requests is there as a whole, before the brick asks for it. */
static void count_messages(struct http_call *call)
{
        if (!call->served.stats || !call_has_request_stream(base_of(call)))
                return;
        for (size_t i = 0; i < call->n_messages; i++)
                stats_received(&call->served, call->messages[i].len);
}

/* What is left for the client, if this is the first call of its request. */
static void tell_limits(struct http_call *call)
{
        const struct served *served = &call->served;
        struct exchange *x = call->exchange;
        struct quota_left left;

        if (x->called)
                return;
        if (admission_requests_left(served, &left))
                limits_tell(x, LIMITS_REQUESTS, &left);
        if (!budget_refusal(served) && admission_tokens_left(served, &left))
                limits_tell(x, LIMITS_TOKENS, &left);
}

static void begin(struct http_call *call, const struct exchange_call *request)
{
        struct served *served = &call->served;
        struct outcome outcome;

        if (!served->method) {
                outcome = outcome_no_handler(request->method);
                call_refuse(base_of(call), &outcome);
                return;
        }
        call->by_identity = true;
        call->door->identified = NULL;
        if (served->port->conf->authenticate != AUTHENTICATE_OFF &&
            !admission_identify(served, AUTH_HTTP, &call->exchange->proof, &outcome)) {
                tell_limits(call);
                call_refuse(base_of(call), &outcome);
                return;
        }
        served_dispatch_to(served, request->brick);
        tell_limits(call);
        call->by_identity = !served->stats;
        count_messages(call);
}

void exchange_call(struct exchange *x, const struct exchange_call *request)
{
        struct http_call *call = http_call_new(x, request);
        struct outcome outcome = outcome_no_memory();
        bool copied;

        x->call = call;
        if (!call) {
                x->called = true;
                exchange_abort(x);
                return;
        }
        copied = copy_request(call, x, request);
        served_begin(&call->served, UINT64_MAX);
        call->served.peer = call->peer;
        call->served.http_route = request->route;
        call_ref(base_of(call));
        if (copied) {
                if (call->n_messages > 0 && !call_has_request_stream(base_of(call)))
                        base_of(call)->request = call->messages[0];
                begin(call, request);
        } else {
                call_refuse(base_of(call), &outcome);
        }
        x->called = true;
        call_unref(base_of(call));
        door_set_timer(x->connection->port->door);
}

void exchange_cancel(struct exchange *x)
{
        const struct outcome done = { .status = STATUS_OK };

        if (!x->call || x->call->dropping)
                return;
        x->call->dropping = true;
        call_refuse(base_of(x->call), &done);
}

struct brick_str exchange_trailer(const struct exchange *x, const char *key)
{
        struct brick_str found = {};

        if (!x->call)
                return found;
        /* A brick that has been told to give up may still add some. */
        call_lock(base_of(x->call));
        found = http_call_trailer(base_of(x->call), key);
        call_unlock(base_of(x->call));
        return found;
}

struct brick_str exchange_trailer_at(const struct exchange *x, const char *key, size_t index)
{
        struct brick_str found = {};
        size_t later = 0;

        if (!x->call)
                return found;
        call_lock(base_of(x->call));
        for (const struct trailer *t = x->call->trailers; t; t = t->next)
                later += call_is_key(t->key, key, strlen(key));
        for (const struct trailer *t = x->call->trailers; t && later > index; t = t->next)
                if (call_is_key(t->key, key, strlen(key)) && --later == index)
                        found = t->value;
        call_unlock(base_of(x->call));
        return found;
}

/* --- replies ------------------------------------------------------------------------------------
 */

/* The next reply that the route may see; NULL: none, for now. *ret_over: there will be none. */
static struct reply *next_reply(struct http_call *call, bool *ret_over)
{
        struct call *base = base_of(call);
        struct reply *reply = NULL;

        call_lock(base);
        if (base->settled && call_is_single(base) && !outcome_is_success(&base->outcome))
                call_drop_replies(base);
        if (base->settled || !call_is_single(base))
                reply = call_take_reply(base);
        *ret_over = base->settled && !reply;
        if (base->settled && !base->outbox)
                admission_answer(&call->served);
        call_unlock(base);
        return reply;
}

static void give(struct http_call *call, struct reply *reply)
{
        struct call *base = base_of(call);
        struct brick_bytes message = { reply->data, reply->size };

        stats_sent(&call->served, reply->size);
        call->heard = clock_recent();
        if (!call->dropping)
                call->ops->reply(call->exchange, message);
        call_lock(base);
        call->served.moves++;
        call->served.owes_reply = false;
        call_sent(base, reply->size);
        call_unlock(base);
        base->transport->reply_free(base, reply);
}

/* The brick's error is told by the status of the answer: the log and the metrics say so. */
static void raise_status(struct http_call *call)
{
        struct outcome *outcome = &base_of(call)->outcome;

        if (!outcome->in_band)
                return;
        call->served.raised = true;
        outcome->in_band = false;
        outcome->status = errors_status(outcome->code);
}

static const char *text_of(struct exchange *x, struct brick_str text)
{
        const char *copy = text.len > 0 ? arena_strndup(&x->arena, text.ptr, text.len) : "";

        return copy ? copy : "";
}

/* The client is told that its tokens do not suffice. Where waiting is long or no help, its library
 * is not to try again. */
static void tell_budget(struct exchange *x, const struct budget_refusal *refusal,
                        struct exchange_error *error)
{
        limits_tell(x, LIMITS_TOKENS,
                    &(struct quota_left){
                            .limit = refusal->limit,
                            .left = refusal->left,
                            .reset = refusal->wait * NSEC_PER_SEC,
                    });
        error->retry_ms = refusal->wait * 1000;
        error->would_repeat = !refusal->retries_help;
        if (error->would_repeat)
                error->code = "insufficient_quota";
}

static struct exchange_outcome describe(struct http_call *call)
{
        const struct budget_refusal *refusal = budget_refusal(&call->served);
        const struct outcome *outcome = &base_of(call)->outcome;
        struct exchange *x = call->exchange;
        struct exchange_outcome ret = { .success = outcome_is_success(outcome) };

        if (ret.success)
                return ret;
        ret.error = http_error_of(outcome, call->by_identity, text_of(x, outcome->message),
                                  text_of(x, outcome->detail), call->served.retry_ms);
        if (refusal)
                tell_budget(x, refusal, &ret.error);
        return ret;
}

/* The call is over for the client; the brick may still hold it. */
static void end(struct http_call *call, bool cancelled)
{
        struct exchange *x = call->exchange;

        call->exchange = NULL;
        if (x->call == call)
                x->call = NULL;
        call->served.http_status = x->status;
        served_end(&call->served, cancelled);
}

static void finish(struct http_call *call)
{
        struct exchange *x = call->exchange;
        struct exchange_outcome outcome = describe(call);

        raise_status(call);
        call->ops->done(x, &outcome);
        end(call, false);
}

static void run(struct http_call *call)
{
        struct exchange *x = call->exchange;
        struct http_connection *c = x->connection;
        struct reply *reply = NULL;
        bool over = false;

        call->held = false;
        while (!c->broken && (call->dropping || connection_has_room(c)) &&
               (reply = next_reply(call, &over)))
                give(call, reply);
        if (over)
                finish(call);
        else
                call->held = !connection_has_room(c);
        connection_settle(c);
}

static void deliver(struct run_item *item)
{
        struct http_call *call = CONTAINER_OF(item, struct http_call, item);
        struct call *base = base_of(call);

        call_lock(base);
        call->posted = false;
        call_unlock(base);
        if (call->exchange)
                run(call);
        call_unref(base);
}

/* --- what the connection tells ------------------------------------------------------------------
 */

void http_call_resume(struct http_call *call)
{
        if (!call->held)
                return;
        call->held = false;
        call_lock(base_of(call));
        http_call_post(call);
        call_unlock(base_of(call));
}

void http_call_wrote(struct http_call *call, size_t pending)
{
        struct call *base = base_of(call);

        call_lock(base);
        call->served.moves++;
        call->served.writing = pending > 0;
        call->served.writing_size = pending;
        call_unlock(base);
}

void http_call_check(struct http_call *call, uint64_t now)
{
        const struct conf_http *conf = &call->served.port->conf->http;

        if (!call->ops->silent || call->dropping || now - call->heard < (uint64_t)conf->keepalive)
                return;
        call->heard = now;
        call->ops->silent(call->exchange);
}

void http_call_gone(struct http_call *call)
{
        struct call *base = base_of(call);
        struct exchange *x = call->exchange;

        call_lock(base);
        call_drop_replies(base);
        call_unlock(base);
        if (call->ops->gone)
                call->ops->gone(x);
        call_ref(base);
        call_cancel(base);
        end(call, true);
        call_unref(base);
}

void http_call_stop(struct http_call *call)
{
        const struct outcome outcome = outcome_stopping();
        struct call *base = base_of(call);

        call_ref(base);
        call_refuse(base, &outcome);
        call_cancel(base);
        call_unref(base);
}

void http_call_expire(struct served *served, const char *why)
{
        const struct outcome outcome = {
                .status = STATUS_DEADLINE_EXCEEDED,
                .message = brick_str(why),
        };
        struct call *base = &served->base;
        struct exchange *x = http_call_of(base)->exchange;

        call_ref(base);
        served->expired = true;
        if (served->writing) {
                connection_break(x->connection);
                connection_settle(x->connection);
        } else {
                call_refuse(base, &outcome);
                call_cancel(base);
        }
        call_unref(base);
}

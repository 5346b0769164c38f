/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "http/call.h"
#include "http/catalogue.h"
#include "http/exchange-own.h"
#include "http/explain.h"
#include "http/origin.h"
#include "http/outcome.h"
#include "module/instance.h"
#include "serve/access.h"
#include "serve/forwarded.h"
#include "shared/stats.h"
#include "util/account.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json-write.h"
#include "util/random.h"
#include "util/trace.h"

/* Memory of an exchange besides what limits.request says: for an answer, and for small requests. */
#define ARENA_EXTRA ((size_t)1 << 20)
#define ARENA_FACTOR 4

/* The first block of its arena: a stream needs no more, and there may be thousands of them. It
 * leaves nothing of malloc()'s unused. */
#define EXCHANGE_ARENA 504

/* The longest x-request-id of a client that is taken. */
#define ID_MAX 128

#define BODY_FIRST 4096

static struct door *door_of(const struct exchange *x)
{
        return x->connection->port->door;
}

static const struct conf_port *conf_of(const struct exchange *x)
{
        return x->connection->port->base.conf;
}

/* --- the request --------------------------------------------------------------------------------
 */

const struct http_head *exchange_head(const struct exchange *x)
{
        return x->head;
}

struct http_text exchange_body(const struct exchange *x)
{
        return (struct http_text){ x->body, x->n_body };
}

struct arena *exchange_arena(struct exchange *x)
{
        return &x->arena;
}

static size_t arena_most(const struct exchange *x)
{
        return ARENA_FACTOR * (size_t)conf_of(x)->max_request + ARENA_EXTRA;
}

struct arena *exchange_scratch(struct exchange *x)
{
        struct arena *scratch = &door_of(x)->scratch;

        arena_reset(scratch, arena_most(x));
        return scratch;
}

struct arena *exchange_request_arena(struct exchange *x)
{
        return &x->request;
}

void exchange_keep_request(struct exchange *x)
{
        x->keeps_request = true;
}

const char *exchange_id(const struct exchange *x)
{
        return x->id;
}

const struct conf_http *exchange_conf(const struct exchange *x)
{
        return &conf_of(x)->http;
}

bool exchange_is_lame(const struct exchange *x)
{
        return atomic_load(&door_of(x)->lame);
}

bool exchange_is_explained(const struct exchange *x)
{
        return explain_has_key(x->head, door_of(x)->explain_key);
}

size_t exchange_bricks(const struct exchange *x, struct instance *const **ret)
{
        *ret = x->connection->port->instances;
        return conf_of(x)->n_bricks;
}

size_t exchange_models(const struct exchange *x, const struct instance *brick,
                       const char *const **ret)
{
        *ret = brick->models;
        return brick->n_models;
}

void exchange_ask_models(struct exchange *x)
{
        catalogue_refresh(x->connection->port->door->catalogue);
}

void exchange_set_data(struct exchange *x, void *data)
{
        x->data = data;
}

void *exchange_data(const struct exchange *x)
{
        return x->data;
}

/* --- who asks -----------------------------------------------------------------------------------
 */

/* NULL: the client has proved an identity, which x->who is now. Else why not. */
static const char *identify(struct exchange *x)
{
        struct door *door = door_of(x);

        door->identified = x;
        return auth_identify(door->serve.auth, AUTH_HTTP, &x->proof, &x->who);
}

const struct auth_identity *exchange_who(struct exchange *x)
{
        if (conf_of(x)->authenticate == AUTHENTICATE_OFF)
                return NULL;
        /* The table of identities may have changed with another request. */
        if (door_of(x)->identified != x && identify(x))
                x->who = NULL;
        return x->who;
}

bool exchange_allows(struct exchange *x, const struct instance *brick, uint32_t method)
{
        const struct auth_identity *who;

        if (conf_of(x)->authenticate == AUTHENTICATE_OFF)
                return true;
        who = exchange_who(x);
        return who && auth_allows(who, brick->conf - door_of(x)->serve.conf->bricks, method);
}

/* --- checks before the body ---------------------------------------------------------------------
 */

static void fail_unknown(struct exchange *x)
{
        struct json_text text = json_text(&x->arena);

        json_puts(&text, "There is no such path here. There is");
        for (const struct http_route *route = http_routes; route->path; route++) {
                json_puts(&text, route == http_routes ? " " : ", ");
                json_puts(&text, route->methods & 1u << HTTP_POST ? "POST " : "GET ");
                json_puts(&text, route->path);
        }
        json_put(&text, ".", sizeof ".");
        (void)exchange_refuse(x, 404, "unknown_url",
                              text.failed ? "There is no such path here." : text.bytes);
}

/* The value of a field of the request as text; NULL: none, or out of memory. */
static const char *field(struct exchange *x, const char *name)
{
        struct http_text value = http_head_field(x->head, name);

        return value.ptr ? arena_strndup(&x->arena, value.ptr, value.length) : NULL;
}

/* What a browser asks before it lets another page use the port. It sends no credentials. */
static void answer_preflight(struct exchange *x)
{
        const char *fields = field(x, "access-control-request-headers");

        if (x->origin) {
                exchange_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
                if (fields)
                        exchange_header(x, "Access-Control-Allow-Headers", fields);
                exchange_header(x, "Access-Control-Max-Age", "600");
        }
        if (x->route)
                exchange_header(x, "Allow", http_route_allow(x->route));
        exchange_answer(x, 204, NULL, NULL, 0);
}

static bool check_page(struct exchange *x)
{
        struct http_text origin = http_head_field(x->head, "origin");
        const struct conf_port *conf = conf_of(x);

        if (x->connection->port->is_loopback && conf->authenticate == AUTHENTICATE_OFF &&
            !origin_host_is_own(x->head->host, &conf->http))
                return exchange_refuse(
                        x, 403, "host_not_allowed",
                        "This port does not have the name that the request's Host says. Its "
                        "'http: hosts:' may list more names.");
        switch (origin_check(origin, x->head->host, &conf->http)) {
        case ORIGIN_REFUSED:
                return exchange_refuse(
                        x, 403, "origin_not_allowed",
                        "Pages of this origin may not use this port. Its 'http: cors:' lists "
                        "those that may.");
        case ORIGIN_ALLOWED:
                x->origin = arena_strndup(&x->arena, origin.ptr, origin.length);
                break;
        case ORIGIN_OWN:
                break;
        }
        return true;
}

static bool check_route(struct exchange *x)
{
        struct http_text parameters[HTTP_PARAMETERS_MAX] = {};
        enum http_method method = x->head->method == HTTP_HEAD ? HTTP_GET : x->head->method;

        x->route = http_route_find(x->head->path, parameters);
        if (method == HTTP_OPTIONS) {
                answer_preflight(x);
                return false;
        }
        if (!x->route) {
                fail_unknown(x);
                return false;
        }
        if (!(x->route->methods & 1u << method)) {
                exchange_header(x, "Allow", http_route_allow(x->route));
                return exchange_refuse(x, 405, NULL, "This path does not have this method.");
        }
        for (size_t i = 0; i < HTTP_PARAMETERS_MAX && parameters[i].ptr; i++) {
                char *decoded = arena_alloc(&x->arena, parameters[i].length + 1, 1);

                if (!decoded || !http_text_decode(parameters[i], decoded))
                        return exchange_refuse(x, 400, NULL,
                                               "The path is not encoded as it should be.");
                x->parameters[i] = decoded;
        }
        return true;
}

static void take_proof(struct exchange *x)
{
        const struct http_head *head = x->head;

        for (size_t i = 0; i < head->n_fields; i++)
                if (http_text_is(head->fields[i].name, "authorization")) {
                        x->proof.n_authorizations++;
                        x->proof.authorization = (struct brick_str){ head->fields[i].value.ptr,
                                                                     head->fields[i].value.length };
                }
        x->proof.names = x->connection->names;
        x->proof.n_names = x->connection->n_names;
}

static bool check_identity(struct exchange *x)
{
        const struct conf_port *conf = conf_of(x);
        const char *refusal;

        if (conf->authenticate == AUTHENTICATE_OFF ||
            (x->route->open && conf->authenticate != AUTHENTICATE_ALL))
                return true;
        take_proof(x);
        refusal = identify(x);
        if (x->who)
                x->identity = (struct brick_str){
                        arena_strndup(&x->arena, x->who->name, x->who->name_length),
                        x->who->name_length,
                };
        if (!refusal)
                return true;
        stats_reject(x->connection->port->base.stats, STATS_REJECTED_IDENTITY);
        return exchange_refuse(x, 401, NULL, refusal);
}

static bool check_body(struct exchange *x)
{
        struct http_text encoding = http_head_field(x->head, "content-encoding");

        if (encoding.ptr && !http_text_is_nocase(encoding, "identity"))
                return exchange_refuse(x, 415, NULL, "Compressed requests are not accepted.");
        if (x->head->has_length && x->head->length > (uint64_t)conf_of(x)->max_request) {
                exchange_refuse_body(x);
                return false;
        }
        return true;
}

static bool has_body(const struct http_head *head)
{
        return head->is_chunked || (head->has_length && head->length > 0);
}

/* False: the request has been answered. */
static bool check(struct exchange *x)
{
        return check_page(x) && check_route(x) && check_identity(x) && check_body(x);
}

/* --- its life -----------------------------------------------------------------------------------
 */

static struct exchange *exchange_new(struct http_connection *c)
{
        struct exchange *x = calloc(1, sizeof *x);

        if (!x) {
                connection_break(c);
                return NULL;
        }
        x->connection = c;
        x->peer = c->peer;
        x->started = clock_now();
        arena_init(&x->arena, arena_most(x));
        arena_count(&x->arena);
        arena_expect(&x->arena, EXCHANGE_ARENA);
        arena_init(&x->request, arena_most(x));
        arena_count(&x->request);
        x->fields_end = &x->fields;
        c->exchange = x;
        c->state = STATE_ANSWER;
        return x;
}

/* Reads the head in memory of the exchange. False: it has been refused. */
static bool parse(struct exchange *x, const char *bytes, size_t length)
{
        struct http_head *head = &door_of(x)->head, *own;
        struct http_mistake mistake = { 500, "Out of memory." };
        char *copy = arena_alloc(&x->request, length, 1);
        size_t size;

        *head = (struct http_head){ .minor = 1 };
        x->head = head;
        if (copy)
                memcpy(copy, bytes, length);
        if (!copy || !http_head_parse(head, copy, length, &mistake)) {
                *head = (struct http_head){ .minor = 1 };
                x->connection->last = true;
                return exchange_refuse(x, mistake.status, NULL, mistake.text);
        }
        size = offsetof(struct http_head, fields) + head->n_fields * sizeof head->fields[0];
        own = arena_alloc(&x->request, size, _Alignof(struct http_head));
        if (!own) {
                x->connection->last = true;
                return exchange_refuse(x, 500, NULL, "Out of memory.");
        }
        memcpy(own, head, size);
        x->head = own;
        x->is_head = head->method == HTTP_HEAD;
        x->is_old = head->minor == 0;
        return true;
}

static bool is_id(struct http_text text)
{
        if (text.length == 0 || text.length > ID_MAX)
                return false;
        for (size_t i = 0; i < text.length; i++)
                if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
                        return false;
        return true;
}

static void choose_id(struct exchange *x)
{
        struct http_text given = http_head_field(x->head, "x-request-id");
        char id[TRACE_SPAN_LENGTH];

        if (given.ptr && is_id(given)) {
                x->id = arena_strndup(&x->arena, given.ptr, given.length);
                return;
        }
        trace_put_span(random_u64(), id);
        x->id = arena_strndup(&x->arena, id, sizeof id);
}

static bool next_field(const void *request, size_t index, struct brick_str *ret_name,
                       struct brick_str *ret_value)
{
        const struct http_head *head = request;

        if (index >= head->n_fields)
                return false;
        *ret_name = (struct brick_str){ head->fields[index].name.ptr,
                                        head->fields[index].name.length };
        *ret_value = (struct brick_str){ head->fields[index].value.ptr,
                                         head->fields[index].value.length };
        return true;
}

static void choose_peer(struct exchange *x)
{
        char client[FORWARDED_MAX];
        const char *copy;

        if (!forwarded_client(&conf_of(x)->forwarded, brick_str(x->peer), next_field, x->head,
                              client))
                return;
        copy = arena_strndup(&x->arena, client, strlen(client));
        if (copy)
                x->peer = copy;
}

void exchange_take_head(struct http_connection *c, const char *bytes, size_t length)
{
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        struct exchange *x = exchange_new(c);

        if (!x || !parse(x, bytes, length))
                return;
        c->last = !x->head->keep_alive;
        choose_id(x);
        choose_peer(x);
        if (!check(x)) {
                /* The body is not read; so nothing that follows can be, either. */
                c->last = c->last || has_body(x->head);
                return;
        }
        if (!has_body(x->head)) {
                exchange_serve(x);
                return;
        }
        http_body_begin(&c->body, x->head);
        c->state = STATE_BODY;
        if (x->head->expects_continue)
                (void)connection_put(c, go_on, sizeof go_on - 1);
}

void exchange_refuse_head(struct http_connection *c, unsigned status, const char *message)
{
        struct exchange *x = exchange_new(c);

        if (!x)
                return;
        door_of(x)->head = (struct http_head){ .minor = 1 };
        x->head = &door_of(x)->head;
        c->last = true;
        (void)exchange_refuse(x, status, NULL, message);
}

void exchange_refuse_body(struct exchange *x)
{
        char text[128];
        const char *message;

        (void)snprintf(text, sizeof text,
                       "The body is larger than limits.request, %" PRId64 " bytes.",
                       conf_of(x)->max_request);
        message = arena_strndup(&x->arena, text, strlen(text));
        x->connection->last = true;
        stats_reject(x->connection->port->base.stats, STATS_REJECTED_REQUEST);
        (void)exchange_refuse(x, 413, NULL, message ? message : "The body is too large.");
}

void exchange_refuse_framing(struct exchange *x)
{
        x->connection->last = true;
        stats_reject(x->connection->port->base.stats, STATS_REJECTED_REQUEST);
        (void)exchange_refuse(x, 400, NULL, "The body is not framed as it should be.");
}

/* False: there is no memory for a larger body. */
static bool grow_body(struct exchange *x, size_t need)
{
        size_t size = x->body_size > 0 ? x->body_size : BODY_FIRST;
        char *body;

        while (size < need)
                size *= 2;
        if (!account_take(size - x->body_size, x->body_size))
                return false;
        body = realloc(x->body, size);
        if (!body) {
                account_give(size - x->body_size);
                return false;
        }
        x->body = body;
        x->body_size = size;
        return true;
}

void exchange_take_body(struct exchange *x, struct http_text part)
{
        if (part.length > (size_t)conf_of(x)->max_request - x->n_body) {
                exchange_refuse_body(x);
                return;
        }
        if (part.length > x->body_size - x->n_body && !grow_body(x, x->n_body + part.length)) {
                x->connection->last = true;
                stats_reject(x->connection->port->base.stats, STATS_REJECTED_MEMORY);
                exchange_fail(x, &(struct exchange_error){
                                         .status = 503,
                                         .message = "Requests use up the memory of this server.",
                                         .code = "overloaded",
                                         .retry_ms = SERVED_RETRY_MS,
                                 });
                return;
        }
        memcpy(x->body + x->n_body, part.ptr, part.length);
        x->n_body += part.length;
}

static void drop_body(struct exchange *x)
{
        account_give(x->body_size);
        free(x->body);
        x->body = NULL;
        x->n_body = x->body_size = 0;
}

static void drop_request(struct exchange *x)
{
        x->head = NULL;
        x->proof = (struct auth_proof){};
        arena_done(&x->request);
}

void exchange_serve(struct exchange *x)
{
        x->connection->state = STATE_ANSWER;
        x->route->serve(x, x->parameters);
        drop_body(x);
        if (!x->keeps_request)
                drop_request(x);
}

/* Requests without a call have their line here. */
static void record(struct exchange *x)
{
        struct http_port *port = x->connection->port;
        const char *route = x->route ? x->route->path : "other";

        stats_count(stats_http_counter(&port->base.stats->counters,
                                       x->route ? x->route->stats : STATS_ROUTE_OTHER, x->status),
                    1);
        if (!x->called)
                access_log_http(door_of(x)->serve.conf, &(struct access_http){
                                                                .route = route,
                                                                .status = x->status,
                                                                .id = brick_str(x->id),
                                                                .identity = x->identity,
                                                                .peer = x->peer,
                                                                .started = x->started,
                                                        });
}

void exchange_free(struct exchange *x)
{
        struct door *door = door_of(x);

        if (!x->status)
                x->status = 499; /* the client has left before */
        record(x);
        if (door->identified == x)
                door->identified = NULL;
        x->connection->exchange = NULL;
        drop_body(x);
        arena_done(&x->request);
        arena_done(&x->arena);
        free(x);
}

void exchange_gone(struct exchange *x)
{
        if (x->call)
                http_call_gone(x->call);
        exchange_free(x);
}

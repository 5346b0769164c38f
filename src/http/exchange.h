/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One HTTP request and its answer, as the routes see it: the connection below reads the request and
 * writes the answer, a route decides what both mean.
 *
 * All functions are for the polling thread, which also enters every route. An exchange lives until
 * its answer is complete and its calls have ended, or until its client has left: of that a route is
 * told by `gone`, and then uses it no more. None of these functions calls the route.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "http/head.h"
#include "module/outcome.h"

struct arena;
struct conf_http;
struct exchange;
struct instance;

/* --- the request --------------------------------------------------------------------------------
 */

/* The head, and the whole body, at most limits.request of the port. Only until the route's function
 * returns: what is needed later is to be copied. */
const struct http_head *exchange_head(const struct exchange *x);
struct http_text exchange_body(const struct exchange *x);

/* Memory that lives as long as the exchange, at most a few times limits.request in all. */
struct arena *exchange_arena(struct exchange *x);

/* As much, which all exchanges share, for a piece of an answer. What it had is freed. */
struct arena *exchange_scratch(struct exchange *x);

/* As much for what is read of the request, which lives until the route's function returns. */
struct arena *exchange_request_arena(struct exchange *x);

/* The route makes more calls, when the first has ended: the head and that arena live as long as the
 * exchange, too. */
void exchange_keep_request(struct exchange *x);

/* The id of the request: what the client sent as x-request-id, or a new one. */
const char *exchange_id(const struct exchange *x);

/* The options of its port. */
const struct conf_http *exchange_conf(const struct exchange *x);

/* The worker is told to stop: health is bad. */
bool exchange_is_lame(const struct exchange *x);

/* Whether the client may call this method of a brick of the port; without identities, everybody
 * may. */
bool exchange_allows(struct exchange *x, const struct instance *brick, uint32_t method);

/* The client may see how its call is served: the request has the key of this brickd. Like its head:
 * while that lives. */
bool exchange_is_explained(const struct exchange *x);

/* The bricks of the port, in the order of its configuration. */
size_t exchange_bricks(const struct exchange *x, struct instance *const **ret);

/* The models that a brick itself has, as far as it has said so. Valid until the route's function
 * returns. exchange_ask_models() asks again if the answers are old, and does not wait. */
size_t exchange_models(const struct exchange *x, const struct instance *brick,
                       const char *const **ret);
void exchange_ask_models(struct exchange *x);

/* What the route keeps; NULL at first. */
void exchange_set_data(struct exchange *x, void *data);
void *exchange_data(const struct exchange *x);

/* --- the answer ---------------------------------------------------------------------------------
 */

/* Adds a header field, which is copied. Before the answer begins. The names that the connection
 * writes itself: content-length, transfer-encoding, connection, date, x-request-id. */
void exchange_header(struct exchange *x, const char *name, const char *value);

/* A whole answer, which is copied. For a HEAD request, its body is left out. */
void exchange_answer(struct exchange *x, unsigned status, const char *type, const void *body,
                     size_t length);

/*
 * An answer in parts: chunks, or for HTTP/1.0 up to the end of the connection. What is written is
 * copied, and sent at once. exchange_abort() ends the connection in the middle, so that the client
 * sees that the answer is not whole. exchange_begin() forgets the fields of exchange_header(),
 * whose memory can be used again.
 */
void exchange_begin(struct exchange *x, unsigned status, const char *type);
void exchange_write(struct exchange *x, const void *bytes, size_t length);
void exchange_end(struct exchange *x);
void exchange_abort(struct exchange *x);
bool exchange_has_begun(const struct exchange *x);

/*
 * An error, in the form of OpenAI's API: {"error":{"message","type","param","code"}} and what of
 * the brick's there is. Texts are valid UTF-8. retry_ms: when trying again may help; 0: not said.
 */
struct exchange_error {
        unsigned status; /* of HTTP */
        const char *message;
        const char *type;   /* NULL: chosen by the status */
        const char *param;  /* NULL: null */
        const char *code;   /* NULL: null */
        int32_t brick_code; /* 0: left out */
        const char *detail; /* NULL: left out */
        uint64_t retry_ms;
        bool would_repeat; /* trying again would end in the same way */
};

void exchange_fail(struct exchange *x, const struct exchange_error *error);

/* The JSON of the error, in the exchange's arena: what exchange_fail() sends, and what a stream
 * that has begun says of its end. */
struct http_text exchange_error_json(struct exchange *x, const struct exchange_error *error);

/* --- a call to a brick --------------------------------------------------------------------------
 */

/* How a call has ended. */
struct exchange_outcome {
        bool success;
        struct exchange_error error; /* if not: the status and so on as the contract maps them */
};

/*
 * What a route is told of its call. Replies come one at a time, without their error field; the next
 * one when the last has been written to the connection, so that a slow client slows the brick.
 */
struct exchange_call_ops {
        void (*reply)(struct exchange *x, struct brick_bytes message);
        void (*done)(struct exchange *x, const struct exchange_outcome *outcome);

        /* No reply for http.keepalive. NULL: does not matter. */
        void (*silent)(struct exchange *x);

        /* The client has left: free what exchange_data() is. Nothing follows. NULL: nothing to
         * free. */
        void (*gone)(struct exchange *x);
};

struct exchange_call {
        struct instance *brick;
        uint32_t method;                    /* BRICK_METHOD_* */
        const struct brick_bytes *requests; /* valid serialised messages, which are copied: one, or
                                               all of a stream of requests */
        size_t n_requests;
        const struct brick_pair *metadata; /* besides the fields of the request's head */
        size_t n_metadata;
        const char *route; /* for the log and the metrics: "/v1/chat/completions"; a constant */
        const struct exchange_call_ops *ops;
};

/* Makes the call: checks the identity's permission and quota, queues or refuses. done() comes in
 * every case, never from inside this function. One call of an exchange at a time. */
void exchange_call(struct exchange *x, const struct exchange_call *call);

/* The brick shall end the call: nobody wants more of it. done() still comes. */
void exchange_cancel(struct exchange *x);

/* Trailing metadata of the call, within done(): the first value of a key, such as
 * "x-usage-prompt-tokens". A NULL ptr: none. */
struct brick_str exchange_trailer(const struct exchange *x, const char *key);

/* The same: the index-th value of a key, in the order in which they were added. They last until
 * done() returns. */
struct brick_str exchange_trailer_at(const struct exchange *x, const char *key, size_t index);

/* SPDX-License-Identifier: MIT */
#pragma once

/* An exchange, for the files of the door that make it: routes use exchange.h. On the polling
 * thread. */

#include "http/connection.h"
#include "http/exchange.h"
#include "http/route.h"
#include "serve/auth.h"
#include "util/arena.h"

struct http_call;

struct exchange_field {
        struct exchange_field *next;
        size_t length;
        char line[]; /* with its end */
};

struct exchange {
        struct http_connection *connection;
        const struct http_head *head;   /* NULL once the request is dropped */
        struct arena request;           /* of the head, and of what routes read of the body */
        bool keeps_request;             /* the route makes more calls */
        bool is_head;                   /* the request is HEAD: its answer has no body */
        bool is_old;                    /* of HTTP/1.0 */
        const struct http_route *route; /* NULL: there is none for the request */
        const char *parameters[HTTP_PARAMETERS_MAX];
        struct arena arena;
        char *body;
        size_t n_body, body_size;

        const char *id;
        const char *peer;   /* the client, behind proxies that say so */
        const char *origin; /* of another page, which may use the port; NULL: none */
        struct auth_proof proof;
        const struct auth_identity *who; /* valid while the door's `identified` is this exchange */
        struct brick_str identity;
        uint64_t started;

        struct exchange_field *fields, **fields_end; /* of the answer's head */
        unsigned status;                             /* of the answer; 0: it has not begun */
        bool is_chunked;
        bool answered;
        bool called; /* a call has been made, and has a line in the log */
        void *data;
        struct http_call *call; /* NULL: none is running */
};

/* Answers with an error. code: NULL for that of the status. Returns false. */
bool exchange_refuse(struct exchange *x, unsigned status, const char *code, const char *message);

/* --- for connection.c ---------------------------------------------------------------------------
 */

/* A head has come, in bytes that are only valid now. Makes the exchange of the connection, which
 * may be answered at once. */
void exchange_take_head(struct http_connection *c, const char *bytes, size_t length);

/* A request whose head is too long, or never began as one. */
void exchange_refuse_head(struct http_connection *c, unsigned status, const char *message);

void exchange_take_body(struct exchange *x, struct http_text part);

/* The body is too large; it is not framed as it should be. */
void exchange_refuse_body(struct exchange *x);
void exchange_refuse_framing(struct exchange *x);

/* The request is complete: calls its route. */
void exchange_serve(struct exchange *x);

/* The answer is complete and no call is running. */
static inline bool exchange_is_over(const struct exchange *x)
{
        return x->answered && !x->call;
}

/* The exchange is over, or its client has left. */
void exchange_free(struct exchange *x);
void exchange_gone(struct exchange *x);

/* --- for call.c ---------------------------------------------------------------------------------
 */

/* Who asks; serve/auth.h's, valid now. NULL: the port does not authenticate, or the identity is no
 * longer valid. */
const struct auth_identity *exchange_who(struct exchange *x);

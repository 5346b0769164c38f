/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One connection of the door. It serves one request at a time; what the client sends meanwhile
 * waits, most of it in the kernel.
 *
 *   state      next       when
 *   HANDSHAKE  HEAD       TLS is established; a connection in plain text begins there
 *   HEAD       BODY       a head has come, and the request has a body
 *              ANSWER     it has none
 *   BODY       ANSWER     the body has come
 *   ANSWER     HEAD       the answer is complete
 *   any        LINGER     the last answer is complete, but the client may still send: what it sends
 *                         is dropped, because closing now would drop what it has not read
 *   any        broken     the connection is closed as soon as nothing on the stack uses it
 *
 * Its descriptor is registered once, edge-triggered: `readable` remembers that an event has said so
 * and no read has found the end yet. Output is collected and written when the work on the
 * connection is done: connection_settle(), which is the last thing that every entry from outside
 * does, and after which the connection may be gone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "http/body.h"
#include "http/door.h"
#include "serve/peers.h"

enum http_state {
        STATE_HANDSHAKE,
        STATE_HEAD,
        STATE_BODY,
        STATE_ANSWER,
        STATE_LINGER,
};

#define HTTP_PEER_MAX 80

struct http_connection {
        struct http_source source;
        struct http_port *port;
        struct http_connection *next, **link;
        struct http_connection *next_ready;
        bool is_ready;

        struct http_socket socket;
        struct peer_key key;
        char *peer;              /* "ipv4:127.0.0.1:41234" */
        struct auth_name *names; /* of the client's certificate */
        size_t n_names;

        enum http_state state;
        bool readable;
        bool ended; /* the client sends no more */
        bool last;  /* the answer is the last of the connection */
        bool shut;  /* in LINGER: the client has been told that nothing more comes */
        bool broken;
        uint64_t since; /* when the wait of this state began, which has a limit */

        char *input; /* read and not taken yet */
        size_t input_begin, input_end, input_size;
        size_t scanned; /* of a head that is not complete */
        struct http_body body;
        struct exchange *exchange; /* in BODY and ANSWER */

        char *output;
        size_t output_begin, output_end, output_size;
        size_t output_counted; /* bytes of it that account.h counts */
        uint64_t moved;        /* when the client last took some of it, or there was none */
};

/* Takes an accepted descriptor. NULL: out of memory, the descriptor is closed. */
struct http_connection *connection_new(struct http_port *port, int fd,
                                       const struct sockaddr *address);

/* Writes, goes on reading, closes, as is due. The connection may be gone then. */
void connection_settle(struct http_connection *c);

/* Appends to the output. False: there is no memory; the connection is broken. */
bool connection_put(struct http_connection *c, const void *bytes, size_t length);

static inline size_t connection_pending(const struct http_connection *c)
{
        return c->output_end - c->output_begin;
}

/* Whether the client has read enough to be given more. */
bool connection_has_room(const struct http_connection *c);

/* Ends the connection in the middle. */
void connection_break(struct http_connection *c);

/* About once a second: whether a limit in time is over. */
void connection_check(struct http_connection *c, uint64_t now);

/* Nothing is asked on it, and nothing is to be sent. */
bool connection_is_idle(const struct http_connection *c);

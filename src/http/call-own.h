/* SPDX-License-Identifier: MIT */
#pragma once

/* A call of the door's, for call.c and its transport. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/call.h"
#include "http/connection.h"

struct trailer {
        struct trailer *next;
        struct brick_str key, value;
        char bytes[];
};

struct http_call {
        struct served served;
        struct door *door;
        struct exchange *exchange; /* NULL: the call is over for the client */
        const struct exchange_call_ops *ops;
        bool by_identity; /* a limit of the identity has refused it */
        bool dropping;    /* the route wants no more replies */
        bool held;        /* replies wait for room */
        uint64_t heard;   /* when the last reply came, or the call began, or silent() was called */

        struct run_item item; /* queued if `posted`, which the lock of the call guards */
        bool posted;

        /* What the brick may ask for as long as it has the call. */
        uintptr_t connection; /* a number that no other open one has */
        const char *peer;
        void *memory;   /* of peer, metadata and messages */
        size_t counted; /* of it, in the account of calls */
        struct brick_pair *metadata;
        size_t n_metadata;
        struct brick_bytes *messages;
        size_t n_messages, next_message; /* the latter under the lock */

        struct trailer *trailers; /* under the lock */
        size_t n_trailers, trailer_bytes;
};

static inline struct http_call *http_call_of(struct call *base)
{
        return (struct http_call *)base;
}

extern const struct transport http_transport;

/* transport->find_trailer(). Lock held. */
struct brick_str http_call_trailer(struct call *base, const char *key);

/* Queues the call's item for the polling thread. Lock held. [any] */
void http_call_post(struct http_call *call);

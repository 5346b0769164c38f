/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls without a network: a transport that remembers what has left. */

#include <stdbool.h>

#include "module/call.h"
#include "module/share.h"

struct wire {
        struct brick_call call;
        unsigned sent;     /* replies that have left */
        bool hold;         /* nothing leaves: the peer does not read */
        bool silent;       /* no request message arrives: the peer does not write */
        bool ended;        /* the outcome has left */
        unsigned incoming; /* request messages still to deliver */
        struct share_party party;
        bool busy; /* it has been refused for want of a place */
        atomic_uint freed;
};

static inline struct wire *wire_of(struct brick_call *call)
{
        return (struct wire *)call;
}

/* A WAITING call; the caller has the transport's reference. "bad" is no reply of any type. */
struct wire *wire_new(struct instance *instance, uint32_t method);

/* The peer reads again. */
void wire_release(struct wire *wire);

/* Waits, not for long, until all others have let go of the call. Then it is gone. */
void wire_free(struct wire *wire);

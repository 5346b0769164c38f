/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls without a network: a transport that remembers what has left. */

#include <stdbool.h>

#include "module/call.h"
#include "module/share.h"

struct wire {
        struct call call;
        unsigned sent; /* replies that have left */
        unsigned trailers;
        bool hold;          /* nothing leaves: the peer does not read */
        bool silent;        /* no request message arrives: the peer does not write */
        bool ended;         /* the outcome has left */
        unsigned in_flight; /* calls of the brick when it left */
        unsigned incoming;  /* request messages still to deliver */
        struct share_party party;
        bool busy; /* it has been refused for want of a place */
        atomic_uint freed;
        void *user; /* the test's */
};

static inline struct wire *wire_of(struct call *call)
{
        return (struct wire *)call;
}

/* A WAITING call; the caller has the transport's reference. "bad" is no reply of any type. */
struct wire *wire_new(struct instance *instance, uint32_t method);

/* Runs what is queued for the polling thread, which the calling thread has become with
 * runner_enter(), until nothing is. */
void wire_run(void);

/* The peer does not read any more; it reads again. */
void wire_hold(struct wire *wire);
void wire_release(struct wire *wire);

/* A silent peer writes a message, or its last. Nothing happens if the brick wants none. */
void wire_deliver(struct wire *wire, bool message);

/* Waits, not for long, until all others have let go of the call. Then it is gone. */
void wire_free(struct wire *wire);

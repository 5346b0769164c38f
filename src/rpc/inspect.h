/* SPDX-License-Identifier: MIT */
#pragma once

/* Checks what the client of a connection sends against the limits of its port that gRPC core does
 * not enforce. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "rpc/frames.h"
#include "serve/peers.h"

/* How far a client has come. */
enum inspect_stage {
        INSPECT_SILENT,  /* nothing has come, or no TLS */
        INSPECT_OPAQUE,  /* something else than HTTP/2 */
        INSPECT_BEGUN,   /* HTTP/2 */
        INSPECT_GREETED, /* the client has acknowledged the core's SETTINGS */
};

/* One connection; for the thread that reads from it. The core lets one at a time. */
struct inspect {
        struct peer_key peer;
        struct frames_limits limits;
        struct frames frames;
        atomic_uchar stage;     /* enum inspect_stage [any] */
        struct frames_out sent; /* for the thread that writes */
        atomic_bool explained;  /* why the core ends it has been logged, or is no failure [any] */
        uint64_t second;        /* in which `resets` was counted */
        unsigned resets;

        /* The client's PINGs. */
        uint64_t pinged;  /* when the last one came, ns; 0: none has */
        uint64_t replies; /* that had been sent then */
        unsigned strikes; /* came too early, since something was sent */
};

void inspect_begin(struct inspect *inspect, const struct peer_key *peer);

/* How many bytes unfinished requests may take in the whole worker (0: no limit), and the function
 * to call, on any thread, when they take more. [main, before the first connection] */
void inspect_limit(uint64_t bytes, void (*shed)(void));

/* Checks the next bytes that the client has sent, in plain text. False: they must not reach the
 * core, and the connection is to be closed; that has been counted and logged. */
bool inspect_bytes(struct inspect *inspect, const void *bytes, size_t length);

/* The core has sent GOAWAY. If that is for an error, it is counted and logged. */
void inspect_goaway(struct inspect *inspect);

/* After frames_sent() for bytes that the core has sent, in plain text. */
static inline void inspect_sent(struct inspect *inspect)
{
        if (inspect->sent.n_goaway > 0)
                inspect_goaway(inspect);
}

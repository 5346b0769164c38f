/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the client share of an upstream. */

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "remote/channel.h"
#include "remote/client.h"

struct backend {
        struct channel_user user; /* of its channel */
        struct upstream *upstream;
        char *address; /* as messages have it */
        uint64_t hash; /* affinity_hash() of the address */
        atomic_bool paused;
        struct stats_backend *stats;
        struct stats_backend_counters *counters;
};

/* One method of the brick's type. */
struct upstream_method {
        char path[80];
        const ProtobufCMessageDescriptor *reply;
        uint32_t error_field;
        bool single; /* there is one reply */
        bool request_stream;
};

struct upstream {
        const struct brick_host *host;
        struct brick_ctx *ctx;
        struct upstream_method methods[STATS_METHODS];
        struct backend *backends;
        size_t n_backends;
        enum upstream_choice choice;
        char *affinity;
        uint32_t session_id; /* number of the field in a request; 0: it has none */
        char *brick;
        char *authorization;
        char *lost;
        uint64_t first_token, stall; /* ns; 0: no limit */
        bool errors_as_status;
        bool once;
        uint32_t flags;       /* with which the core sends the headers of calls */
        atomic_uint turn;     /* where the search for the fewest calls begins */
        pthread_mutex_t lock; /* of reports: `changed` is called with it held */
        void (*changed)(void *user, size_t backend, enum backend_state state);
        void *user;
};

/* Whether the choice of a backend needs a message of the request. */
static inline bool upstream_needs_message(const struct upstream *upstream)
{
        return upstream->choice == UPSTREAM_AFFINITY && !upstream->affinity &&
               upstream->session_id > 0;
}

/* The hash of the key of a call, for UPSTREAM_AFFINITY; 0: it has none. */
uint64_t upstream_key(const struct upstream *upstream, struct brick_call *call,
                      struct brick_bytes request);

/* The backend for a call with this key that has been tried with the backends whose bits `tried`
 * has. NULL: there is no other. [any] */
struct backend *upstream_choose(struct upstream *upstream, uint64_t key, uint32_t tried);

static inline uint32_t backend_bit(const struct backend *backend)
{
        return UINT32_C(1) << (backend - backend->upstream->backends);
}

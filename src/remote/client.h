/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The gRPC client of a worker: bricks that relay their calls to other servers. It has no thread of
 * its own; everything runs on the polling thread, on the completion queue of the bricks' calls. A
 * second queue would be a second poller of the core's one epoll, which costs every brick several
 * system calls a call.
 *
 * An upstream is all backends of one brick. A backend is one address, with one gRPC channel, which
 * is shared with other upstreams if all of its settings are the same. Behind the address there may
 * be several servers, if it is a DNS name; the channel shares the calls among them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "shared/stats.h"
#include "util/cleanup.h"

struct conf;
struct rpc;
struct upstream;

/* All strings are copied. NULL and 0: without, or the default. */
struct backend_settings {
        const char *address;        /* as gRPC names it: "dns:///host:50051", "unix:/run/x" */
        const char *service_config; /* JSON */
        int64_t keepalive_time;     /* ns; 0: no keepalive */
        int64_t keepalive_timeout;  /* ns */
        bool tls;
        /* Of TLS: files in PEM, which are read again when they change. */
        const char *ca;          /* NULL: the system's */
        const char *certificate; /* NULL: none is shown */
        const char *key_file;
        const char *key;         /* its text, if it is in no file */
        const char *server_name; /* that the server's certificate must have; NULL: the host's */
};

enum upstream_choice {
        UPSTREAM_ORDERED,  /* the first that is ready */
        UPSTREAM_FEWEST,   /* the ready one with the fewest calls in flight */
        UPSTREAM_AFFINITY, /* calls with the same key go to the same one while it is ready */
};

/* A call that ends with UNAVAILABLE, and of which neither a reply has been passed on nor a message
 * of a request stream, is tried once with each of the other backends. */
struct upstream_settings {
        const struct brick_host *host;
        struct brick_ctx *ctx;
        const struct backend_settings *backends;
        size_t n_backends; /* 1 to STATS_BACKENDS */
        enum upstream_choice choice;
        const char *affinity;  /* UPSTREAM_AFFINITY: a key of metadata; NULL: session_id of the
                                  request. A call without it goes as if ORDERED */
        const char *brick;     /* x-brick of the calls */
        const char *token;     /* bearer token of the calls */
        bool errors_as_status; /* ask for gRPC statuses instead of llmbrick's errors */
        uint64_t first_token;  /* ns that the first reply of a stream may take; then the call is
                                  tried with another backend, or fails; 0: as long as it likes */
        uint64_t stall;        /* ns that each further reply may take; 0: as long as it likes */
        bool once; /* no call is tried again: one that ends a backend must not end the next */
        bool wait_for_ready; /* calls wait for a backend, as long as their deadlines allow */
        const char *lost;    /* text of the status if the connection is lost during a call; NULL: as
                                the core says it */

        /* Told when the state of a backend has changed: [any], one at a time, and it must not
         * block. NULL: the upstream calls set_health() of the brick, which is serving while one of
         * its backends is ready. */
        void (*changed)(void *user, size_t backend, enum backend_state state);
        void *user;
};

/*
 * [main, in create() of the brick] Nothing is connected before client_start(). -ENOMEM, -E2BIG: too
 * many backends.
 */
int upstream_new(struct upstream **ret, const struct upstream_settings *settings);

/* [main, in destroy() of the brick, or when its create() fails] */
struct upstream *upstream_free(struct upstream *upstream);
DEFINE_CLEANUP(struct upstream *, upstream_free);

/*
 * The entries of the brick, see struct brick_module. upstream_start() takes the call, whose data
 * (call_set_data()) is then the upstream's, and ends it as the backend does.
 */
int upstream_start(struct upstream *upstream, struct brick_call *call, uint32_t method);
void upstream_message(struct upstream *upstream, struct brick_call *call,
                      const struct brick_bytes *message);
void upstream_writable(struct upstream *upstream, struct brick_call *call);
void upstream_cancel(struct upstream *upstream, struct brick_call *call);

/* A paused backend gets no new calls, those in flight go on. Ending the pause also connects at
 * once, whatever failed before. [any] */
void upstream_pause(struct upstream *upstream, size_t backend, bool paused);

/* The backend is about to stop: pauses it, and calls that wait for it do not get its present
 * connection. [any] */
void upstream_leave(struct upstream *upstream, size_t backend);

/* --- for the worker; [main] ----------------------------------------------------------------------
 */

/* Connects all upstreams. After rpc_new(), before rpc_start(). -EINVAL: one cannot be, which has
 * been logged. */
int client_start(struct rpc *rpc, const struct conf *conf);

/* About every second: reads certificates that have changed. */
void client_maintain(void);

/* Disconnects all. No call may run; before rpc_free(). */
void client_stop(void);

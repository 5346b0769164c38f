/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the gRPC transport share of a server and of its ports. */

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "module/runner.h"
#include "rpc/call.h"
#include "rpc/rpc.h"
#include "serve/unread.h"
#include "shared/state.h"
#include "shared/stats.h"

struct builtin;
struct tls;

struct rpc_port {
        struct serve_port base;
        struct rpc *rpc;
        grpc_server *server; /* NULL: the port is only checked */
        struct tls *tls;     /* NULL: plain text */
        struct rpc_method methods[SERVE_METHODS];
        size_t n_methods;
        unsigned unposted[SERVE_METHODS + 1]; /* port.c's; polling thread only */
        bool down;                            /* the core has shut it down */
};

enum catch_up {
        CATCH_UP_NONE,
        CATCH_UP_POSTED,
        CATCH_UP_DONE,
};

struct rpc {
        struct serve serve;
        bool first; /* of the workers */
        char explain_key[EXPLAIN_KEY_LENGTH + 1];
        struct rpc_port **ports;
        size_t n_ports;
        grpc_completion_queue *queue;          /* all calls of bricks */
        grpc_completion_queue *shutdown_queue; /* servers that are down */
        grpc_call *bell;                       /* wakes the polling thread */
        grpc_resource_quota *quota;
        struct builtin *builtin;
        pthread_t thread;
        bool running;       /* the thread is */
        bool found_nothing; /* the thread's last look for an event */

        /* rpc_has_caught_up()'s */
        struct run_item catch_up_item;
        _Atomic(enum catch_up) catch_up;

        atomic_bool draining;
        bool cancelled;
        uint64_t idle_since; /* while stopping: since when no call is in flight; 0: some are */

        atomic_uint in_flight; /* calls that have begun and whose memory is not back */
        atomic_uint posted;    /* requests that wait for a call */

        /* call.c's: memory of calls to be used again, given back on the polling thread and by
         * others. */
        struct rpc_call *free;
        _Atomic(struct rpc_call *) returned;
        atomic_uint kept; /* both */

        struct unread unread;
        struct unread requests; /* large requests that bricks have */
        unsigned
                unposted; /* requests, of all ports, that there was no memory for; polling thread */
};

/* SPDX-License-Identifier: MIT */
#pragma once

/* What rpc.c keeps, for the files of this folder. */

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "module/runner.h"
#include "rpc/call.h"
#include "rpc/deadlines.h"
#include "rpc/rpc.h"
#include "rpc/unread.h"
#include "shared/stats.h"

#define RPC_METHODS_MAX 22
#define RPC_SERVICES 8

struct auth;
struct builtin;
struct tls;

struct rpc_port {
        struct rpc *rpc;
        const struct conf_port *conf;
        struct stats_port *stats;
        grpc_server *server; /* NULL: the port is only checked */
        struct tls *tls;     /* NULL: plain text */
        struct route routes[RPC_SERVICES];
        struct rpc_method methods[RPC_METHODS_MAX];
        size_t n_methods;
        unsigned unposted[RPC_METHODS_MAX + 1]; /* port.c; polling thread only */
        bool down;                              /* the core has shut it down */
};

struct rpc {
        const struct conf *conf;
        const struct stats *stats;
        bool first;            /* of the workers */
        struct tracer *tracer; /* NULL: no traces */
        struct rpc_port **ports;
        size_t n_ports;
        grpc_completion_queue *queue;          /* all calls */
        grpc_completion_queue *shutdown_queue; /* that servers are down */
        grpc_channel *nowhere;                 /* for `waker`: it never connects */
        grpc_call *waker;                      /* whose empty batches wake the polling thread */
        grpc_resource_quota *quota;
        struct builtin *builtin;
        struct auth *auth; /* NULL: no port authenticates */
        pthread_t thread;
        bool running; /* the thread is */
        atomic_bool stopping;
        bool cancelled;
        uint64_t idle_since; /* while stopping: since when no call is in flight; 0: some are */

        atomic_uint in_flight; /* calls that have begun and whose memory is not back */
        atomic_uint posted;    /* requests that wait for a call */

        /* Calls to use again: the polling thread's own, and those that others gave back. */
        struct rpc_call *free;
        _Atomic(struct rpc_call *) returned;
        atomic_uint kept; /* both */

        struct unread unread;
        struct unread requests; /* large ones that bricks have */

        /* Lines about calls that end because of how their clients behave. Polling thread. */
        uint64_t idle_logged; /* when the last one was logged; 0: none was */
        unsigned idle_unlogged;

        /* stall.h's */
        struct rpc_call *live;
        struct run_item stall_item; /* queued, if `stall_posted` */
        atomic_bool stall_posted;

        /* Polling thread only. */
        struct deadlines deadlines;
        unsigned unposted; /* requests, of all ports, that there was no memory for */
};

/* Whether the thread that asks is the polling one. */
bool rpc_is_polling(void);

/* Says why a call ends before its brick has ended it, though not more often than once in ten
 * seconds. Polling thread only. */
void rpc_log_idle(struct rpc_call *call, const char *why);

/* Memory for a call, and back. take: polling thread, or before it runs; give: any thread. */
struct rpc_call *rpc_take_call(struct rpc *rpc);
void rpc_give_call(struct rpc *rpc, struct rpc_call *call);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The calls that brickd answers itself: health checks and reflection.
 *
 * They have a queue and a thread of their own. This libgrpc looks through all that a queue waits
 * for at every event, so thousands of open watches must not be on the queue of the bricks' calls.
 * Their queue does not poll: the polling thread does the I/O of all, and a second poller would
 * halve its speed. While a brick holds the polling thread, health is silent, as is everything else.
 *
 * The streams among them are open for as long as their clients like: they are bounded in number. A
 * stop ends them with UNAVAILABLE, and waits until that has been written.
 */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/health.h"
#include "shared/stats.h"
#include "util/cleanup.h"

#define BUILTIN_METHODS_MAX 4
#define BUILTIN_SERVICES_MAX 11 /* the eight, and three of brickd's own */

/* Larger requests are refused: names are shorter. */
#define BUILTIN_REQUEST_MAX 4096

struct auth;
struct builtin;
struct builtin_call;
struct conf;
struct conf_port;
struct descriptors;
struct rpc_port;

/* Its functions run on the thread of their own; what they say is sent when they return. */
struct builtin_method {
        const char *path;
        const char *label; /* in the log */
        const ProtobufCMessageDescriptor *request;
        enum stats_builtin_method stats;
        bool stream;         /* replies are */
        bool request_stream; /* every request gets one reply, and is read after the last one's */

        void (*message)(struct builtin_call *call, const ProtobufCMessage *request);

        /* Somebody's health has changed, or the last reply has left. Optional. */
        void (*changed)(struct builtin_call *call);
};

/* A method of a port. */
struct builtin_slot {
        const struct builtin_method *method;
        struct builtin_port *port;
        void *handle;  /* the core's */
        unsigned open; /* streams */
        unsigned max;
        bool authenticate;
};

struct builtin_port {
        struct builtin *builtin;
        grpc_server *server;
        struct stats_port *stats;
        struct health_names names;
        const char *services[BUILTIN_SERVICES_MAX]; /* what the port serves */
        size_t n_services;
        struct builtin_slot slots[BUILTIN_METHODS_MAX];
        size_t n_slots;
        struct builtin_port *next;
};

struct builtin_tag {
        void (*done)(void *owner, bool ok);
        void *owner;
};

/* At most one batch of each tag is under way; `tags` counts them. */
struct builtin_call {
        struct builtin_slot *slot;
        grpc_call *call;
        gpr_timespec deadline;
        grpc_metadata_array metadata;
        grpc_byte_buffer *request;
        grpc_byte_buffer *reply; /* to be sent, or under way */
        grpc_slice details;
        uint64_t started;
        struct builtin_tag on_new;
        struct builtin_tag on_close;
        struct builtin_tag on_write;
        struct builtin_tag on_read;
        unsigned tags;
        unsigned status;
        int cancelled;
        bool close_armed;
        bool headers_sent;
        bool writing;
        bool finished; /* status is set */
        bool ending;   /* status is under way */
        bool closed;

        /* Watch: what, and the last status told */
        const struct health_name *watched;
        int told;

        /* among the open ones */
        struct builtin_call *next;
        struct builtin_call **link;
};

struct builtin {
        const struct conf *conf;
        struct stats_head *stats;
        struct auth *auth; /* NULL: no port authenticates */
        struct descriptors *descriptors;
        struct builtin_port *ports;
        grpc_completion_queue *queue;
        pthread_t thread;
        bool running;
        struct builtin_call *open;

        /* The one way to put an event of one's own into a queue: an empty batch, of a call that is
         * never made. */
        grpc_call *bell;
        struct builtin_tag on_bell;
        atomic_bool rung;

        atomic_bool replaced; /* for the next bell */
        atomic_bool leaving;
        atomic_bool stopping;
        atomic_uint calls; /* open, or posted */
};

/* All for the main thread. conf, stats and auth must outlive the builtin. */
int builtin_new(struct builtin **ret, const struct conf *conf, const struct stats *stats,
                struct auth *auth);

/* builtin_idle(), or builtin_start() has never been called. */
struct builtin *builtin_free(struct builtin *builtin);
DEFINE_CLEANUP(struct builtin *, builtin_free);

/* Before the port's server is started; its routes are known. */
int builtin_add_port(struct builtin *builtin, const struct rpc_port *port);

/* The servers are started. */
int builtin_start(struct builtin *builtin);

/* Watches end, which would keep their connections for ever: clients are to ask the next worker. */
void builtin_retire(struct builtin *builtin);

/* From now on nothing is SERVING; watchers are told. */
void builtin_leave(struct builtin *builtin);

/* The same, then the streams end. The servers are shut down right after. */
void builtin_stop(struct builtin *builtin);

/* Nothing is open any more. */
bool builtin_idle(const struct builtin *builtin);

/* For the methods. One reply to one message() or changed(); the end after it. */
void builtin_reply(struct builtin_call *call, const ProtobufCMessage *reply);
void builtin_finish(struct builtin_call *call, unsigned status, const char *details);

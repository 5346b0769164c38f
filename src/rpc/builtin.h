/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The calls that brickd answers itself: health checks and reflection.
 *
 * They have a completion queue and a thread of their own. At every event, this libgrpc searches
 * through everything that a queue waits for, so thousands of open watches must not be on the queue
 * of the bricks' calls. Their queue does not poll: the polling thread does all I/O, and a second
 * poller would halve its speed. So while a brick blocks the polling thread, health is not answered.
 *
 * builtin.c has the thread, builtin-call.c the life of a call, and health.c and reflection.c the
 * methods: builtin.c refers to their tables, and they use the functions at the end of this file.
 *
 * A client may keep a stream open for as long as it likes. So streams are limited in number. Once
 * the limit is reached, a new one takes the place of the newest stream of the client that has the
 * most, unless its own client has as many. A stop ends streams with UNAVAILABLE, and waits until
 * that has been written. A client that does not read a reply, or that sends no request on a stream
 * of requests, loses the call after limits.stall; and earlier if too many replies are not read.
 */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/share.h"
#include "rpc/batch.h"
#include "rpc/health.h"
#include "shared/stats.h"
#include "util/cleanup.h"

#define BUILTIN_METHODS_MAX 4
#define BUILTIN_SERVICES_MAX 11 /* the eight, and three of brickd's own */

/* Larger requests are refused, in bytes: names are shorter. */
#define BUILTIN_REQUEST_MAX 4096

struct auth;
struct builtin;
struct builtin_call;
struct conf;
struct conf_port;
struct descriptors;
struct rpc_port;

/* The functions run on the thread of builtin.c; replies and the end are sent after they return. */
struct builtin_method {
        const char *path;
        const char *label; /* in the log */
        const ProtobufCMessageDescriptor *request;
        enum stats_builtin_method stats;
        bool stream;         /* replies are */
        bool request_stream; /* each request gets one reply, and then the next is read */

        void (*message)(struct builtin_call *call, const ProtobufCMessage *request);

        /* The health of a brick has changed, or the last reply has been sent. Optional. */
        void (*changed)(struct builtin_call *call);
};

/* A method of a port. */
struct builtin_slot {
        const struct builtin_method *method;
        struct builtin_port *port;
        void *handle; /* the core's */

        /* of streams */
        struct share share; /* places count as calls that wait */
        unsigned open;
        unsigned max;

        bool authenticate;
};

struct builtin_port {
        struct builtin *builtin;
        const struct conf_port *conf;
        grpc_server *server;
        struct stats_port *stats;
        struct health_names names;
        const char *services[BUILTIN_SERVICES_MAX]; /* names of all that the port serves */
        size_t n_services;
        struct builtin_slot slots[BUILTIN_METHODS_MAX];
        size_t n_slots;
        struct builtin_port *next;
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
        struct batch_tag on_new;
        struct batch_tag on_close;
        struct batch_tag on_write;
        struct batch_tag on_read;
        unsigned tags;
        unsigned status;
        uint64_t waits; /* for its client, since then; 0: it does not */
        int cancelled;
        bool close_armed;
        bool headers_sent;
        bool writing;
        bool finished; /* status is set */
        bool ending;   /* status is being sent */
        bool closed;
        bool unread; /* counted in builtin->unread */
        struct share_place place;

        /* of Watch */
        const struct health_name *watched; /* NULL: this port does not have the name */
        int told;                          /* the last status sent; -1: none */

        /* in the list of open calls */
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
        unsigned in_a_row;         /* events that the thread has had without waiting */
        struct builtin_call *open; /* the newest first */
        unsigned unread;           /* calls whose end has not been read */
        unsigned unread_max;

        grpc_call *bell; /* wakes the thread */
        struct batch_tag on_bell;
        atomic_bool rung;

        atomic_bool replaced; /* builtin_end_watches() was called since the last bell */
        atomic_bool lame_duck;
        atomic_bool draining;
        atomic_uint calls; /* open or posted */
};

/* All are for the main thread. conf, stats and auth must outlive the builtin. */
int builtin_new(struct builtin **ret, const struct conf *conf, const struct stats *stats,
                struct auth *auth);

/* Only if builtin_idle(), or if builtin_start() has never been called. */
struct builtin *builtin_free(struct builtin *builtin);
DEFINE_CLEANUP(struct builtin *, builtin_free);

/* Before the port's server is started; after its routes have been made. */
int builtin_add_port(struct builtin *builtin, const struct rpc_port *port);

/* After the servers have been started. */
int builtin_start(struct builtin *builtin);

/* Ends all watches, so that their clients ask the next worker: a watch would keep its connection
 * open for ever. */
void builtin_end_watches(struct builtin *builtin);

/* Ends calls whose clients let them wait for longer than limits.stall. About once a second. */
void builtin_maintain(struct builtin *builtin);

/* From now on the health of everything is NOT_SERVING; watches report it. */
void builtin_lame_duck(struct builtin *builtin);

/* The same, and ends all streams. The servers must be shut down right after. */
void builtin_drain(struct builtin *builtin);

/* Whether no call is open or posted. */
bool builtin_idle(const struct builtin *builtin);

/* For the methods: at most one reply in each message() or changed(); and the end of the call, with
 * constant details, which is sent after the reply. */
void builtin_reply(struct builtin_call *call, const ProtobufCMessage *reply);
void builtin_finish(struct builtin_call *call, unsigned status, const char *details);

/* --- of builtin-call.c, for builtin.c; on the thread, except builtin_post() before it runs -------
 */

/* Posts a request. -ENOMEM, or -EIO. */
int builtin_post(struct builtin_slot *slot);

/* After every event of a call: sends what there is to send, and ends the call if it is over. */
void builtin_proceed(struct builtin_call *call);

/* Ends the call if its client has let it wait for longer than limits.stall. */
void builtin_end_if_stalled(struct builtin_call *call, uint64_t now);

/* Ends a stream if builtin_drain() has been called. */
void builtin_end_if_draining(struct builtin_call *call);

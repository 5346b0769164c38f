/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A call that a client outside has made, as far as it is the same for every protocol: who makes it,
 * what it may do, which brick answers, how it is counted, what the log and the traces say of it.
 *
 * A transport embeds a struct served as the first member of its own call, implements struct
 * transport of module/call.h, and fills one struct serve for the thread that serves its calls, and
 * one struct serve_port for each port. For each call it then calls, on that thread and in this
 * order:
 *
 *   served_begin()        the head of the request is there: port and method are set
 *   admission_identify()  if the port authenticates
 *   served_dispatch()     base.request is there: finds the brick, and hands it the call
 *   stats_sent()          each reply that the client has been sent
 *   served_end()          the call is over for the client; the brick may still hold it
 *   admission_release()   in transport->free()
 *
 * A call may be refused in between, by served_refuse(): then served_end() follows.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/identities.h"
#include "module/call.h"
#include "serve/deadlines.h"
#include "serve/route.h"
#include "serve/stall.h"

#define SERVE_SERVICES 8
#define SERVE_METHODS 22

/* retry_ms where nothing better is known. */
#define SERVED_RETRY_MS 1000

struct auth;
struct auth_identity;
struct conf;
struct conf_port;
struct served;
struct stats;
struct stats_method;
struct stats_port;
struct tracer;

/* What a thread that serves calls has. conf, stats, auth and tracer outlive it. */
struct serve {
        const struct conf *conf;
        const struct stats *stats;
        struct auth *auth;     /* NULL: no port authenticates */
        struct tracer *tracer; /* NULL: no traces */

        /* Ends a call with DEADLINE_EXCEEDED, as `why` tells the client, and cancels its brick. On
         * this thread. */
        void (*expire)(struct served *call, const char *why);

        struct deadlines deadlines;
        struct stalls stalls;
};

struct serve_port {
        struct serve *serve;
        const struct conf_port *conf;
        struct stats_port *stats;
        struct route routes[SERVE_SERVICES];
};

/* One method of one port. */
struct serve_method {
        const struct route *route;
        uint32_t method; /* BRICK_METHOD_* */
        uint32_t error_field;
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *reply;
        char path[64];           /* "/protocols.grpc.llm.LLMService/Unary" */
        char request_error[160]; /* what a client is told whose request cannot be parsed */
        const char *parse_error; /* the end of it: what it is told in a stream of requests */
};

struct served {
        struct call base;
        struct serve_port *port;
        const struct serve_method *method; /* NULL: none of brickd's; the call will be refused */

        /* The transport's: where the client calls from; NULL until transport->peer() is called. It
         * lives as long as the call. */
        const char *peer;

        /* The transport's, for stall.h. Under base.lock. */
        bool writing;        /* a write is under way */
        size_t writing_size; /* then: of the message in it */
        unsigned moves;      /* messages sent and received */
        bool owes_reply;     /* the last of them was received */

        bool expired;      /* by the brick's own timeout, or by stall.h */
        bool raised;       /* the brick's in-band error has become base.outcome.status */
        uint64_t retry_ms; /* a refused call: when the client may try again; 0: not said */

        struct stats_method *stats; /* of its brick and method; NULL: it has no brick */
        uint64_t last_sent;         /* of a stream: when the last message was sent; 0: none yet */

        const struct auth_identity *who;  /* valid until the thread serves the next call */
        char identity[IDENTITY_NAME_MAX]; /* its name, for base.identity */
        uint32_t quota_slot;              /* its concurrency is counted there, if `counted` */
        bool counted;

        size_t deadline_index; /* deadlines.h's: in the heap, from 1; 0: not there */
        struct stall_state stall;
};

/* How a call has ended, for all who record it. */
struct served_end {
        unsigned status;   /* gRPC's, as the client sees it */
        bool in_band;      /* the brick failed it in llmbrick's way, whatever the client was told */
        int32_t code;      /* llmbrick's, if in_band; else 200, which counts if the status is OK */
        uint64_t duration; /* ns */

        /* The parts of the duration, if base.timed: waiting for the brick, in the brick, sending
         * what was not sent yet. */
        uint64_t queued;
        uint64_t brick;
        uint64_t writing;
};

/* A method of a service, for one port. */
void serve_method_init(struct serve_method *method, const struct route *route, uint32_t number);

/* A client has made the call, of which port and method are set. deadline: the client's, in ns of
 * CLOCK_MONOTONIC; UINT64_MAX: none. The caller has the transport's reference. */
void served_begin(struct served *call, uint64_t deadline);

/* Ends the call with a gRPC status and a constant text, unless its outcome is known. */
void served_refuse(struct served *call, unsigned status, const char *message);

/* Finds the brick for base.request, checks the client's permission, and hands the brick the call,
 * queues or refuses it. */
void served_dispatch(struct served *call);

/* The call is over: counts, logs and traces it, and gives up the transport's reference. cancelled:
 * the client or the transport has ended it before all was sent. */
void served_end(struct served *call, bool cancelled);

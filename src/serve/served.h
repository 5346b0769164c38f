/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A call that a client outside has made, as far as it is the same for every protocol: who makes it,
 * what it may do, which brick answers, how it is counted, what the log and the traces say of it.
 *
 * A transport embeds a struct served as the first member of its own call, and implements struct
 * transport of module/call.h. It fills one struct serve for the thread that serves its calls, one
 * struct serve_port for each port, and one struct serve_method for each method of a port.
 * dispatch.h says what it does with each call.
 *
 * deadlines.h and stall.h include nothing of this file, although their .c files do: what they keep
 * of a thread and of a call is part of the structs here.
 */

#include <stdatomic.h>
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
struct budget;
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

        /* brickd stops, and cancels the calls that still run: their clients see UNAVAILABLE. Set by
         * another thread. */
        atomic_bool cancelling;

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
        uint64_t first_sent; /* of a stream with last_sent: when the first message was sent */
        uint64_t last_sent;  /* of a stream: when the last message was sent; 0: none yet */

        const struct auth_identity *who;  /* valid until the thread serves the next call */
        char identity[IDENTITY_NAME_MAX]; /* its name, for base.identity */
        uint32_t quota_slot;              /* its concurrency is counted there, if `counted` */
        bool counted;
        struct budget *budget; /* budget.h's; NULL: nothing limits the tokens of the call */

        const char *http_route; /* "/v1/chat/completions", a constant; NULL: none */
        unsigned http_status;   /* that the client has been told; 0: none */

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

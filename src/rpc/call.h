/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One RPC on the wire: the gRPC transport of module/call.h.
 *
 * A call has up to three batches under way, each with a tag of its own, and `tags` counts them:
 *
 *   close   armed once it is clear that the call is not answered within start(): it tells of
 *           cancellation. A call that is answered there asks for it in its only batch
 *   write   one at a time: headers with the first, the status with the last
 *   read    one request message of a stream, when the brick asks for it
 *
 *   state          true from
 *   headers_sent   the first write batch
 *   turning        the call is queued for the polling thread, which writes what a brick's thread
 *                  has sent: run_turn()
 *   writing        the start of a write batch, until it completes: on_write()
 *   ending         the start of the write batch with the status
 *   closed         the close event, or the end of the write batch that asked for it
 *   ended          closed and no batch under way: the RPC is over, its line is logged, the
 *                  transport's reference is given up. The brick may still hold the call
 *
 * All events come on the polling thread; brick threads start batches, under the call's lock: those
 * of blocking bricks any, others only reads. When the last reference goes, the memory
 * becomes the next posted request.
 */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/identities.h"
#include "module/call.h"
#include "rpc/route.h"

struct auth_identity;
struct rpc;
struct rpc_call;
struct rpc_port;
struct stats_method;

#define RPC_TRAILERS_MAX 32 /* of a brick */
#define RPC_TRAILERS_OWN 2  /* of brickd, beside them */
#define RPC_TRAILER_BYTES_MAX 8192

/* One method of one port. */
struct rpc_method {
        struct rpc_port *port;
        const struct route *route;
        uint32_t method; /* BRICK_METHOD_* */
        void *handle;    /* the core's */
        char path[64];   /* "/protocols.grpc.llm.LLMService/Unary" */
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *reply;
        uint32_t error_field;
        char success[5];         /* error { code: 200 } as it ends every good reply */
        char request_error[160]; /* what a client is told whose request cannot be parsed */
        const char *parse_error; /* the end of it: so in a stream of requests */
};

/* The core hands the request over with the call. */
static inline bool rpc_method_has_payload(const struct rpc_method *method)
{
        return method->method != BRICK_METHOD_INPUT_STREAMING &&
               method->method != BRICK_METHOD_BIDI_STREAMING;
}

struct rpc_tag {
        void (*done)(struct rpc_call *call, bool ok);
        struct rpc_call *call;
};

/* Lies in the memory of its own slice, behind the bytes: one allocation for both. */
struct rpc_reply {
        struct reply base;
        grpc_slice slice;
        bool good;      /* sealed: ends with success */
        size_t counted; /* once taken: what call_sent() gives back for it */
};

struct rpc_call {
        struct call base;
        struct rpc_port *port;
        const struct rpc_method *method; /* NULL: none of ours, to be refused */

        grpc_call *call;
        gpr_timespec deadline;
        grpc_metadata_array metadata;
        grpc_call_details details; /* method == NULL */
        grpc_byte_buffer *payload;
        grpc_slice payload_slice; /* of a request that came in pieces */
        char *peer;

        struct rpc_tag on_new;
        struct rpc_tag on_close;
        struct rpc_tag on_write;
        struct rpc_tag on_read;
        unsigned tags;
        int cancelled; /* what the close event says */

        bool close_armed;
        bool headers_sent;
        struct run_item late; /* queued: the call begins when others have been served */
        bool turning;
        struct run_item turn;
        bool writing;
        bool ending;
        bool closed;
        bool ended;
        bool expired;        /* by the brick's own timeout */
        bool outcome_queued; /* an in-band error has become the last reply, or a status */
        bool raised;         /* it has become a status */
        char error_code[12]; /* then: llmbrick's, as text */

        grpc_byte_buffer out;
        struct rpc_reply *written; /* in the write batch under way */
        grpc_slice details_out;

        grpc_byte_buffer *incoming;
        grpc_slice incoming_slice;

        grpc_metadata *trailers; /* NULL until there is one; stays with the memory of the call */
        size_t n_trailers;
        size_t trailer_bytes;

        struct stats_method *stats;       /* of its brick; NULL: it has none */
        uint64_t last_sent;               /* of a stream: when the last message left; 0: none has */
        const struct auth_identity *who;  /* while on_new() runs; NULL: nobody has asked */
        char identity[IDENTITY_NAME_MAX]; /* its name, for base.identity */
        uint32_t quota_slot;              /* its concurrency is counted there, if `counted` */
        bool counted;

        size_t deadline_index; /* in the rpc's heap, from 1; 0: not there */

        /* stall.h's. moves: messages that have been sent and received, under the lock. */
        unsigned moves;
        bool owes_reply; /* the last of them was received */
        unsigned moves_seen;
        uint64_t moved_at; /* when they were last seen to be more */
        struct rpc_call *live_next;
        struct rpc_call **live_link; /* NULL: not in the list */

        size_t unread; /* bytes that unread.h counts for it */
        struct rpc_call *next_free;
};

/* How a call has ended, for all who record it. */
struct rpc_end {
        unsigned status;   /* gRPC's, as the client sees it */
        bool in_band;      /* the brick failed it in llmbrick's way, whatever the client was told */
        int32_t code;      /* llmbrick's, if in_band; else 200, which counts if the status is OK */
        uint64_t duration; /* ns */

        /* What it is made of, if the call is timed: waiting for the brick, the brick's own time,
         * sending what was left. */
        uint64_t queued;
        uint64_t brick;
        uint64_t writing;
};

/* Posts a request for a method of a port (NULL: for all that are not registered). Polling thread,
 * or before it runs. */
int rpc_call_post(struct rpc_port *port, const struct rpc_method *method);

/* What a client is asked to wait before it tries again, where nothing better is known. */
#define RPC_PUSHBACK_MS 1000

/* Tells the client of a call that is to be refused when to try again. Before it is refused. */
void rpc_call_push_back(struct rpc_call *call, uint64_t ms);

/* The time of the brick or the client is over, as `why` tells the client. Polling thread. */
void rpc_call_expire(struct rpc_call *call, const char *why);

/* The number of its connection. [any] */
uintptr_t rpc_call_connection(const struct rpc_call *call);

/* Frees what recycled calls keep. */
void rpc_call_destroy(struct rpc_call *call);

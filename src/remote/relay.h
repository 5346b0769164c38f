/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call that is relayed: the entries of the brick, and the events of the call to the backend.
 *
 * The relay is the data of the brick's call, in whose memory it lies. An attempt is one call of
 * the core's to one backend. It has up to four batches under way, and `batches` counts them:
 *
 *   begin    headers and, if it is no stream, the request; for one reply, everything
 *   status   of streams: the backend's status, which comes last
 *   receive  of streams: one reply at a time; the next when the client's side has taken the last
 *   send     of request streams: one message at a time; the next is asked for when it is sent
 *
 *   state       true from
 *   begun       an attempt has been started
 *   holding     a reply is here which the client's side has not taken
 *   passed_on   a reply has been passed on
 *   taken       a message of the request stream has been taken: no other attempt can have it
 *   ended       the backend will send no more replies
 *   finished    the brick's call is being finished
 *
 * An attempt is over when none of its batches is under way and no reply is held. Then the call is
 * tried with another backend, or finished. So the core never has memory of a call that is gone.
 */

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <pthread.h>

#include "remote/metadata.h"
#include "remote/payload.h"
#include "remote/upstream.h"
#include "rpc/batch.h"

struct relay {
        struct upstream *upstream;
        const struct brick_host *host;
        struct brick_call *call;
        const struct upstream_method *method;
        pthread_mutex_t lock; /* of all below */
        struct metadata metadata;
        uint64_t key; /* of affinity */

        /* the attempt */
        struct backend *backend;
        struct link *link;
        grpc_call *core; /* kept until the next attempt, or the relay's end */
        uint32_t tried;  /* backend_bit() of this and of former attempts */
        unsigned batches;
        struct batch_tag on_begin, on_status, on_receive, on_send;
        grpc_byte_buffer out;
        grpc_metadata_array headers, trailers;
        grpc_byte_buffer *in;
        grpc_status_code status;
        grpc_slice details;

        grpc_slice reply; /* the last one; its bytes are also those of `payload` */
        char *apart;      /* the copy of payload_split() */
        struct payload payload;

        bool begun;
        bool holding;
        bool passed_on;
        bool taken;
        bool ended;
        bool cancelled;
        bool finished;
        bool late; /* a reply has not come in time: the attempt is being cancelled */
        struct brick_timer *timer; /* of the time limits; NULL: there are none */
        uint64_t due;              /* when the next reply is late; UINT64_MAX: never */
        uint64_t armed;            /* the time of the timer */
        const char *refused;       /* why the rest of the replies is not wanted; NULL: it is */
        unsigned refused_status;
};

/*
 * relay-limit.c: the time limits of the replies of a stream, `first_token` and `stall`. A client
 * that does not read stops the clock. Lock held, except for init.
 */
int relay_limit_init(struct relay *relay);                /* 0, or an errno of timer_new() */
void relay_limit_begin(struct relay *relay);              /* an attempt begins */
void relay_limit_passed(struct relay *relay, bool taken); /* a reply has been offered */
void relay_limit_refuse(struct relay *relay); /* says so, if the last attempt was late */

/* relay-outcome.c: ends the brick's call as the last attempt has ended; the relay may be gone when
 * this returns. Lock not held. */
void relay_finish(struct relay *relay);

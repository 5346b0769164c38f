/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call to a brick, from the moment it is accepted until the last reference is gone. This is the
 * half that is the same for every transport: who holds it, what the brick may do with it, what the
 * brick is told. The other half is a transport: gRPC (rpc/call.c), or another brick of this process
 * (module/child.c).
 *
 *   phase      what the brick may do             left when
 *   WAITING    nothing, it has not seen it yet   call_start(): its instance has room
 *   RUNNING    everything                        the outcome is known, from the brick or brickd
 *   FINISHED   finish, if it has not             -
 *
 * While an async brick is inside start(), its output only gathers, so that a call answered there
 * leaves in one batch. `cancelled` is not a phase: it may come in any, and the brick still has to
 * finish.
 *
 * References: one of the transport, one of the brick from start() until it finishes, one of every
 * entry into the brick that runs. The last one gone: the brick's data is destroyed, then the
 * transport frees the call.
 *
 * `lock` guards the phase, the outbox, the inbox and the transport's own state. The transport's
 * functions are called with it held; the brick never is.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "module/outcome.h"
#include "module/span.h"
#include "util/arena.h"

struct brick_child;
struct instance;
struct share_member;
struct share_party;

enum call_phase {
        CALL_WAITING,
        CALL_RUNNING,
        CALL_FINISHED,
};

/* One reply on its way out. The transport allocates it, so that its memory is what goes on the
 * wire. */
struct reply {
        struct reply *next;
        void *data;
        size_t size; /* of the payload; the transport may add to it */
};

enum inbox_state {
        INBOX_IDLE,
        INBOX_WANTED, /* the brick has asked for a message, the transport is to deliver one */
        INBOX_READY,  /* it is in `message`, the brick has not seen it */
        INBOX_HELD,   /* the brick looks at it */
        INBOX_END,    /* the peer will send no more */
};

/* What a transport does for a call. Called with the lock held, except reply_new(), metadata(),
 * peer(), party() and free(). */
struct transport {
        /* Memory for a reply of up to size bytes. */
        struct reply *(*reply_new)(struct brick_call *call, size_t size);
        void (*reply_free)(struct brick_call *call, struct reply *reply);

        /* A reply is complete. It may add to it (its size is then what the window counts).
         * -EBADMSG: not a reply. */
        int (*reply_seal)(struct brick_call *call, struct reply *reply);

        /*
         * Something has changed: the brick has the call, the outbox has grown, the outcome is
         * known. Never while output gathers. May leave and take the lock.
         */
        void (*pump)(struct brick_call *call);

        /* The brick wants one more message; call_deliver() answers, now or later. */
        void (*receive)(struct brick_call *call);

        /* The brick is done with the delivered message. */
        void (*release)(struct brick_call *call);

        /* Request metadata: the index-th pair. False: past the end. */
        bool (*metadata)(struct brick_call *call, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value);
        struct brick_str (*peer)(struct brick_call *call);

        /* Trailing metadata, as call_trailer() of the ABI. */
        int (*trailer)(struct brick_call *call, struct brick_str key, struct brick_str value);

        /* For whom the call counts among those of its brick; *ret is all zero before. */
        void (*party)(struct brick_call *call, struct share_party *ret);

        /* The call is about to be refused because its brick has no place for it. NULL: nothing to
         * do. */
        void (*busy)(struct brick_call *call);

        /* The brick is done with the call: what only the brick has needed may go, but for the arena
         * if `destroy` is set. May come more than once. NULL: nothing to do. */
        void (*forget)(struct brick_call *call);

        /* The last reference is gone. */
        void (*free)(struct brick_call *call);
};

struct brick_call {
        const struct transport *transport;
        struct instance *instance;
        uint32_t method; /* BRICK_METHOD_* */
        atomic_uint refs;
        atomic_bool cancelled;
        atomic_bool finish_claimed; /* somebody has finished it: once only */

        pthread_mutex_t lock;
        pthread_cond_t changed; /* a blocking brick waits here */

        enum call_phase phase;
        bool given;       /* the brick has seen it: start() has been called */
        bool in_start;    /* start() has not returned */
        bool entered;     /* message() or writable() has not returned */
        bool cancel_told; /* cancel() has been called */
        bool message_due; /* entries to make when the running one returns */
        bool writable_due;
        bool receive_due; /* call_recv() came while the last message was held */
        struct outcome outcome;

        struct reply *outbox;
        struct reply **outbox_end;
        struct reply *reserved; /* by call_reserve() */
        size_t outbox_bytes;
        size_t window; /* outbox_bytes above this: the brick has to wait */
        size_t max_reply;
        bool starved;     /* the brick waits for writable() */
        unsigned replies; /* accepted so far */

        enum inbox_state inbox;
        struct brick_bytes message;

        struct brick_child *children; /* calls made on behalf of this one; child.c's */

        struct brick_bytes request;
        struct brick_str identity; /* who calls; the transport's, as long as the call */
        uint64_t started;          /* CLOCK_MONOTONIC ns */
        uint64_t deadline;         /* the same clock; UINT64_MAX: none */
        bool timed;                /* the transport's: note the next two */
        uint64_t given_at;         /* to the brick; 0: not yet */
        uint64_t settled_at;       /* 0: not yet */
        struct span span;          /* the transport's */
        struct arena arena;
        void *data;
        void (*destroy)(void *data);

        /* The instance's, under its lock: for whom the call counts while it waits or holds a place
         * of the reserve, of which pool; and its place in the queue. link: what points here; NULL:
         * not there. */
        struct share_member *member; /* NULL: it does not count */
        unsigned pool;               /* enum share_pool */
        struct brick_call *next;
        struct brick_call **link;
        uint64_t queued; /* since when it waits there */
};

/* The parts of a call that outlive it, for transports that recycle theirs. */
void call_init(struct brick_call *call, const struct transport *transport);
void call_done(struct brick_call *call);

/*
 * Begins a new call in recycled memory, whose arena is empty: the caller then has the one
 * reference, the transport's. memory_limit bounds the arena.
 */
void call_reset(struct brick_call *call, struct instance *instance, uint32_t method,
                size_t memory_limit);

void call_ref(struct brick_call *call);
void call_unref(struct brick_call *call);

/* Hands a WAITING call to its brick: start(), on this thread. Lock not held. */
void call_start(struct brick_call *call);

/* Decides the outcome in the brick's stead, unless it is known. The outcome's strings must outlive
 * the call. Lock not held. */
void call_refuse(struct brick_call *call, const struct outcome *outcome);

/* Refuses a call for which its brick has no place. Lock not held. */
void call_refuse_busy(struct brick_call *call);

/* [transport] As call_refuse(), with the lock held. May leave and take it. */
void call_settle(struct brick_call *call, const struct outcome *outcome);

/* [transport] The call waits in its instance's queue: from now on its peer's death is to be known.
 * Lock not held. */
void call_watch(struct brick_call *call);

/*
 * [transport] The peer is gone, the deadline is over, or the server stops. Takes the call out of
 * the queue, or tells the brick, at most once. Lock not held. May enter the brick on this thread.
 */
void call_cancel(struct brick_call *call);

/* [transport] The answer to receive(): a message, valid until release(), or NULL for the end.
 * Nothing happens if none is wanted any more. Lock held. */
void call_deliver(struct brick_call *call, const struct brick_bytes *message);

/* [transport] Puts a complete reply at the end of the outbox. Lock held. */
void call_push_reply(struct brick_call *call, struct reply *reply);

/* [transport] Takes the next reply out of the outbox; its bytes still count until call_sent(). Lock
 * held. */
struct reply *call_take_reply(struct brick_call *call);

/* What the memory of a queued reply costs besides its bytes: many small ones must not outgrow the
 * window. */
#define CALL_REPLY_OVERHEAD 128

/* [transport] A reply that counted `size` bytes has left, or was dropped. Lock held. */
void call_sent(struct brick_call *call, size_t size);

/* [transport] Drops what is in the outbox. Lock held. */
void call_drop_replies(struct brick_call *call);

/*
 * [transport] Makes the entries into the brick that deliver() and sent() have made due. Call it
 * with the lock held and a reference; it leaves and takes the lock around each.
 */
void call_enter_due(struct brick_call *call);

/* Memory of a call that is worth freeing before its end. */
#define CALL_FORGET_MIN ((size_t)32 * 1024)

/* [transport] Frees what nobody needs any more, if it is much, and if the brick has finished the
 * call and is not inside. Lock held. */
void call_forget_large(struct brick_call *call);
static inline void call_forget(struct brick_call *call)
{
        if (call->request.len + call->message.len + call->arena.used >= CALL_FORGET_MIN)
                call_forget_large(call);
}

/* Output does not leave now: it gathers until start() returns. Lock held. */
bool call_gathers(const struct brick_call *call);

/* One reply only, kept until the outcome is known: unary and input-streaming calls. */
static inline bool call_is_single(const struct brick_call *call)
{
        return call->method != BRICK_METHOD_OUTPUT_STREAMING &&
               call->method != BRICK_METHOD_BIDI_STREAMING;
}

static inline bool call_has_request_stream(const struct brick_call *call)
{
        return call->method == BRICK_METHOD_INPUT_STREAMING ||
               call->method == BRICK_METHOD_BIDI_STREAMING;
}

/* The place in a trace that a sound `traceparent` of its metadata gives a call. False: none does.
 */
bool call_caller_trace(struct brick_call *call, struct trace_context *ret);

/* A call's own place in a trace: its span's, or, where nobody traces, its caller's. False: none. */
bool call_trace(struct brick_call *call, struct trace_context *ret);

/* The functions of the ABI that take a call: rows of the host's table. */
struct brick_bytes call_abi_request(struct brick_call *call);
struct brick_str call_abi_metadata(struct brick_call *call, const char *key);
int call_abi_metadata_at(struct brick_call *call, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value);
struct brick_str call_abi_peer(struct brick_call *call);
struct brick_str call_abi_identity(struct brick_call *call);
uint64_t call_abi_deadline(struct brick_call *call);
int call_abi_cancelled(struct brick_call *call);
void *call_abi_alloc(struct brick_call *call, size_t size, size_t align);
void call_abi_set_data(struct brick_call *call, void *data, void (*destroy)(void *data));
void *call_abi_data(struct brick_call *call);
void call_abi_recv(struct brick_call *call);
int call_abi_read(struct brick_call *call, struct brick_bytes *ret);
int call_abi_send(struct brick_call *call, struct brick_bytes message);
void *call_abi_reserve(struct brick_call *call, size_t size);
int call_abi_commit(struct brick_call *call, size_t size);
int call_abi_trailer(struct brick_call *call, struct brick_str key, struct brick_str value);
void call_abi_finish(struct brick_call *call, uint32_t status, struct brick_str reason);
void call_abi_fail(struct brick_call *call, int32_t code, struct brick_str message,
                   struct brick_str detail);
struct brick_str call_abi_traceparent(struct brick_call *call);
struct brick_str call_abi_tracestate(struct brick_call *call);

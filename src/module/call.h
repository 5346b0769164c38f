/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call to a brick, from its acceptance until its last reference is released. This is the half
 * that is the same for every transport: who has the call, what the brick may do with it, and what
 * the brick is told. The other half is a transport: gRPC (rpc/call.c), or another brick of this
 * process (module/child.c).
 *
 * Two states of a call change independently. `settled`: its outcome is known, from the brick or
 * from brickd, and nothing can change it any more. `side`: the brick's side of the call.
 *
 *   side       the brick                   next       when
 *   UNSEEN     does not know the call      STARTING   call_start(): its instance has room
 *   STARTING   is inside start()           IDLE       start() returns
 *                                          DONE       it finishes the call, or start() fails
 *   IDLE       has the call                ENTERED    the runner makes the entries that are due
 *                                          DONE       it finishes the call
 *   ENTERED    is inside message(),        IDLE       that function returns
 *              writable(), cancel() or     DONE       it finishes the call
 *              a timer's fire()          RELAYED    it leaves the call to one of its children
 *   RELAYED    has left the call           DONE       the child has ended
 *   DONE       has finished the call       -
 *
 * RELAYED follows STARTING and IDLE as well, as DONE does; see relay.h. A call that is refused or
 * withdrawn before start() stays UNSEEN.
 *
 * No function that a brick calls enters a brick. It sets a bit of `due` and queues the call for its
 * `runner`, which enters the brick while the side is IDLE. An entry that becomes due while the side
 * is STARTING or ENTERED is made after the running function has returned. start() runs on the
 * runner as well, or, for a blocking brick, on a thread of the instance. So entries for one call
 * never overlap. A brick that has not finished a call is told that the call is over, no matter who
 * has settled it.
 *
 * While an async brick is STARTING, its output is only collected, so that a call that start()
 * answers is sent in one batch. `cancelled` may become true at any time; the brick still has to
 * finish the call.
 *
 * References: the transport has one, the brick one from start() until it finishes, the runner's
 * queue one while the call is in it. When the last is released, the brick's data is destroyed, and
 * then the transport frees the call; never on the stack of a brick.
 *
 * `lock` guards the transport's own state and every member whose comment does not say otherwise.
 * The functions of the transport are called with the lock held, the brick's without.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"
#include "module/handle.h"
#include "module/outcome.h"
#include "module/runner.h"
#include "module/share.h"
#include "module/span.h"
#include "util/arena.h"

struct brick_child;
struct brick_timer;
struct child_trailers;
struct genai_call;
struct instance;

enum call_side {
        SIDE_UNSEEN,
        SIDE_STARTING,
        SIDE_IDLE,
        SIDE_ENTERED,
        SIDE_RELAYED, /* from here on it is no longer the brick's */
        SIDE_DONE,
};

/* Entries into the brick that are due. */
enum {
        DUE_START = 1 << 0,
        DUE_CANCEL = 1 << 1,
        DUE_MESSAGE = 1 << 2,
        DUE_WRITABLE = 1 << 3,
        DUE_TIMER = 1 << 4,
};

/* One reply that is to be sent. The transport allocates it, so that it can send this memory
 * without a copy. */
struct reply {
        struct reply *next;
        void *data;
        size_t size; /* of the payload; the transport may add to it */
};

enum inbox_state {
        INBOX_IDLE,
        INBOX_WANTED, /* the brick has asked for a message, the transport is to deliver one */
        INBOX_READY,  /* it is in `message`, the brick has not seen it */
        INBOX_HELD,   /* the brick reads it */
        INBOX_END,    /* the peer will send no more */
};

/* What a transport does for a call. Called with the lock held, except reply_new(), metadata(),
 * peer(), party() and free(). */
struct transport {
        /* Memory for a reply of up to size bytes. */
        struct reply *(*reply_new)(struct call *call, size_t size);
        void (*reply_free)(struct call *call, struct reply *reply);

        /* A reply is complete. The transport may add to it; the window counts the new size. On an
         * error the reply is refused; see outcome_reply_fault(). -ENOBUFS: the client has
         * too much to read. */
        int (*reply_seal)(struct call *call, struct reply *reply);

        /*
         * Something has changed: the brick has the call, the outbox has grown, or the outcome is
         * known. Not called while output is collected. It must enter no brick.
         */
        void (*pump)(struct call *call);

        /* The brick wants one more message: call call_deliver(), now or later. */
        void (*receive)(struct call *call);

        /* The brick is done with the delivered message. */
        void (*release)(struct call *call);

        /* Request metadata: the index-th pair. False: past the end. */
        bool (*metadata)(struct call *call, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value);
        struct brick_str (*peer)(struct call *call);

        /* Trailing metadata, as call_trailer() of the ABI. */
        int (*trailer)(struct call *call, struct brick_str key, struct brick_str value);

        /* The first value of a key of it, which lives as long as the call. A NULL ptr: none. Only
         * for the calls of clients. */
        struct brick_str (*find_trailer)(struct call *call, const char *key);

        /* The party for which the call counts, see share.h; *ret is all zero before. */
        void (*party)(struct call *call, struct share_party *ret);

        /* A call made on behalf of this one has ended with these trailers, which do not become its
         * own. Takes no lock. NULL: nothing to do. */
        void (*child_ended)(struct call *call, const struct child_trailers *trailers);

        /* The same for a call to a model, which is to have a span: what the span says of it. Its
         * lock is held, which is not that of this call. NULL: nothing. */
        bool (*describe_child)(struct call *call, const struct call *child,
                               const struct child_trailers *trailers, struct genai_call *ret);

        /* The call is about to be refused because its brick has no place for it. NULL: nothing to
         * do. */
        void (*busy)(struct call *call);

        /* No brick uses the call any more: free what only the brick has needed, but keep the arena
         * if `destroy` is set. May be called more than once. NULL: nothing to do. */
        void (*forget)(struct call *call);

        /* The last reference has been released. */
        void (*free)(struct call *call);
};

struct call {
        const struct transport *transport;
        struct instance *instance;
        uint32_t slot; /* of its names (handle.h); the same for each call in this memory */
        struct brick_call *handle; /* its name, under which the brick knows it */
        uint32_t method;           /* BRICK_METHOD_* */
        atomic_uint refs;
        atomic_bool cancelled;

        pthread_mutex_t lock;
        pthread_cond_t changed; /* a blocking brick waits here */

        enum call_side side;
        bool left;    /* the side is RELAYED or DONE, and no entry runs any more */
        unsigned due; /* DUE_* */
        struct runner *runner;
        bool posted; /* `entries` is in the queue of the runner */
        struct run_item entries;
        bool receive_due; /* call_recv() came while the last message was held */

        bool settled; /* `outcome` is known and final */
        struct outcome outcome;

        struct reply *outbox;
        struct reply **outbox_end;
        struct reply *reserved; /* by call_reserve() */
        size_t outbox_bytes;
        size_t window; /* when outbox_bytes is above this, the brick has to wait */
        size_t max_reply;
        bool starved;     /* the brick waits for writable() */
        unsigned replies; /* accepted so far */

        enum inbox_state inbox;
        struct brick_bytes message;

        struct brick_child *children; /* calls made on behalf of this one; child.c's */
        struct brick_child *relay;    /* RELAYED: the one to which it is left */
        struct brick_timer *timers;   /* timer.c's */

        struct brick_bytes request;
        struct brick_str identity; /* who calls; the transport's, as long as the call */
        struct groups *groups;     /* of the identity; a reference, NULL: none */
        uint64_t started;          /* CLOCK_MONOTONIC ns */
        uint64_t deadline;         /* the same clock; UINT64_MAX: none */
        bool timed;                /* set by the transport: record the next two */
        uint64_t given_at;         /* when start() was called; 0: not yet */
        uint64_t settled_at;       /* 0: not yet */
        struct span span;          /* the transport's */
        struct arena arena;
        void *data;
        void (*destroy)(void *data);

        /* The lock of the instance guards these. */
        struct share_place place; /* in instance->share, while it waits or has a reserved place */
        uint64_t queued;          /* when it was put into the queue */
};

static inline void call_lock(struct call *call)
{
        (void)pthread_mutex_lock(&call->lock);
}

static inline void call_unlock(struct call *call)
{
        (void)pthread_mutex_unlock(&call->lock);
}

/* Makes and frees what call_reset() keeps, for transports that use the memory of a call again.
 * -ENOMEM: there are as many calls as there can be. */
int call_init(struct call *call, const struct transport *transport);
void call_done(struct call *call);

/*
 * Begins a new call in this memory, whose arena is empty. The caller then has its only reference,
 * the transport's. memory_limit bounds the arena.
 */
void call_reset(struct call *call, struct instance *instance, uint32_t method, size_t memory_limit);

static inline void call_ref(struct call *call)
{
        (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

/* Releases a reference where no brick is on the stack: the last one destroys the brick's data. */
void call_unref(struct call *call);

/* Releases a reference where a brick may be on the stack: the runner destroys and frees. */
void call_drop(struct call *call);

/* Chooses the runner of a call by its instance and its request. Call it before
 * call_admit(). */
void call_choose_runner(struct call *call);

/* Gives an UNSEEN call, for which its instance has room, to its brick: runs start() on this thread.
 * No brick may be on the stack. Lock not held. */
void call_start(struct call *call);

/* Makes the call's runner do this. The queue takes a reference of its own. Lock not held. [any] */
void call_post_start(struct call *call);

/*
 * Settles the call with this outcome, unless it is settled, and tells the brick, if it has the
 * call, to give up. The outcome's strings must outlive the call. Lock not held. [any]
 */
void call_refuse(struct call *call, const struct outcome *outcome);

/* Refuses a call for which its brick has no place. Lock not held. [any] */
void call_refuse_busy(struct call *call);

/*
 * Asks the call's instance for a place, by instance_admit(), and refuses the call if there is none.
 * True: start it, by call_start() or call_post_start(). False: it is queued or refused. Lock not
 * held. [any]
 */
bool call_admit(struct call *call);

/* [transport] The call has been queued by its instance: the transport must notice from now on that
 * its peer disconnects. Does nothing for one that is settled. Lock not held. */
void call_watch(struct call *call);

/*
 * [transport] The peer has disconnected, the deadline has passed, or the server stops. Takes the
 * call out of the instance's queue, or tells the brick, once. Lock not held. [any]
 */
void call_cancel(struct call *call);

/* [transport] The answer to receive(): a message, valid until release(), or NULL for the end of the
 * stream. Does nothing if the brick wants no message. Lock held. */
void call_deliver(struct call *call, const struct brick_bytes *message);

/* For transports whose replies are plain memory: their reply_new() and reply_free(). */
struct reply *call_heap_reply_new(struct call *call, size_t size);
void call_heap_reply_free(struct call *call, struct reply *reply);

/* [transport] Appends a complete reply to the outbox. Lock held. */
void call_push_reply(struct call *call, struct reply *reply);

/* [transport] Takes the next reply out of the outbox; its bytes still count until call_sent(). Lock
 * held. */
struct reply *call_take_reply(struct call *call);

/* Bytes that each reply counts in addition to its own, so that the memory of many small ones is
 * bounded by the window as well. */
#define CALL_REPLY_OVERHEAD 128

/* [transport] A reply of `size` bytes has been sent or dropped. Lock held. */
void call_sent(struct call *call, size_t size);

/* [transport] Drops the replies in the outbox. Lock held. */
void call_drop_replies(struct call *call);

/* With more memory than this, a call is worth freeing memory before its end. */
#define CALL_FORGET_MIN ((size_t)32 * 1024)

/* [transport] call_forget() frees the request, the message and the arena of a call that no brick
 * uses any more, if they are large. Lock held. */
void call_forget_large(struct call *call);
static inline void call_forget(struct call *call)
{
        if (call->request.len + call->message.len + call->arena.used >= CALL_FORGET_MIN)
                call_forget_large(call);
}

/* Whether output is collected until start() returns, instead of being sent. Lock held. */
bool call_gathers(const struct call *call);

/* Unary and input-streaming calls: one reply, which is kept until the outcome is known. */
static inline bool call_is_single(const struct call *call)
{
        return call->method != BRICK_METHOD_OUTPUT_STREAMING &&
               call->method != BRICK_METHOD_BIDI_STREAMING;
}

static inline bool call_has_request_stream(const struct call *call)
{
        return call->method == BRICK_METHOD_INPUT_STREAMING ||
               call->method == BRICK_METHOD_BIDI_STREAMING;
}

/* The trace context in the `traceparent` of the call's metadata. False: it has none that is valid.
 */
bool call_caller_trace(struct call *call, struct trace_context *ret);

/* The trace context of the call's span; without a tracer, that of its caller. False: none. */
bool call_trace(struct call *call, struct trace_context *ret);

bool call_is_key(struct brick_str key, const char *wanted, size_t length);

/* The first value of a key in the request's metadata. A NULL ptr: none. */
struct brick_str call_metadata(struct call *call, const char *key);

/* Whether the brick has the call: it may be told things, and has to finish it. Lock held. */
static inline bool call_is_bricks(const struct call *call)
{
        return call->side > SIDE_UNSEEN && call->side < SIDE_RELAYED;
}

/* --- between call*.c, relay.c and timer.c: the lock is held, except where said -----------------
 */

/* The item of a call whose entries are due. Lock not held. */
void call_run_entries(struct run_item *item);

/* An entry has returned. held: for how many ns it held the polling thread; 0 on other threads. */
void call_note_time(struct call *call, uint64_t held);

/* Logs a fault of the brick's module. Lock not held. */
void call_misuse(const struct call *call, const char *what);

/* The brick wants one more message. If the call is over, it gets the end of the stream. */
void call_want_message(struct call *call);

/* Makes entries due, and queues the call if its brick may be entered. */
void call_post(struct call *call, unsigned due);

/* call_refuse() without cancelling the child calls. */
void call_overrule(struct call *call, const struct outcome *outcome);

/* How a call ends whose brick has failed with this errno. */
struct outcome call_outcome_errno(const struct call *call, int r);

/* The brick finishes the call. Lock not held. */
void call_finish(struct call *call, const struct outcome *outcome);

/* The child to which the call is left has ended. Lock not held. */
void call_end_relay(struct call *call, const struct outcome *outcome);

/* Whether n bytes may be sent now: 0, or the result of call_send(). */
int call_room(struct call *call, size_t n);

/* Sends a reply, or frees it: 0, or the result of call_send(). Lock not held. */
int call_commit(struct call *call, struct reply *reply);

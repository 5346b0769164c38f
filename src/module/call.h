/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call to a brick, from the moment it is accepted until the last reference is gone. This is the
 * half that is the same for every transport: who holds it, what the brick may do with it, what the
 * brick is told. The other half is a transport: gRPC (rpc/call.c), or another brick of this process
 * (module/child.c).
 *
 * Two things happen to a call, independently of each other. Its outcome becomes known (`settled`),
 * by the brick or by brickd: from then on the peer is told nothing else. And the brick has it:
 *
 *   side       the brick                   next       when
 *   UNSEEN     does not know of it         STARTING   call_start(): its instance has room
 *   STARTING   is inside start()           IDLE       start() returns
 *                                          DONE       it finishes the call, or start() fails
 *   IDLE       has it                      ENTERED    its runner makes what is due
 *                                          DONE       it finishes the call
 *   ENTERED    is inside message(),        IDLE       that returns
 *              writable() or cancel()      DONE       it finishes the call
 *   DONE       has given it back           -
 *
 * A call that is refused or withdrawn before start() stays UNSEEN.
 *
 * Nothing that a brick calls enters a brick. It sets a bit of `due` and queues the call for its
 * `runner`, which enters the brick while it is IDLE. What becomes due while the brick is
 * STARTING or ENTERED is made when that has returned. start() itself runs on the runner, too; for
 * blocking bricks on a thread of the instance. So entries for one call never overlap, and a brick
 * that has not finished a call is told that it is over, whoever has settled it.
 *
 * While an async brick is STARTING, its output only gathers, so that a call answered there leaves
 * in one batch. `cancelled` may become true at any time, and the brick still has to finish.
 *
 * References: one of the transport, one of the brick from start() until it finishes, one of the
 * runner's queue while the call is in it. The last one gone: the brick's data is destroyed, then
 * the transport frees the call. A brick's own reference never does that on the brick's stack.
 *
 * `lock` guards all that is not said to be otherwise, and the transport's own state. The
 * transport's functions are called with it held; the brick never is.
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
#include "module/span.h"
#include "util/arena.h"

struct brick_child;
struct instance;
struct share_member;
struct share_party;

enum call_side {
        SIDE_UNSEEN,
        SIDE_STARTING,
        SIDE_IDLE,
        SIDE_ENTERED,
        SIDE_DONE,
};

/* Entries into the brick that are due. */
enum {
        DUE_START = 1 << 0,
        DUE_CANCEL = 1 << 1,
        DUE_MESSAGE = 1 << 2,
        DUE_WRITABLE = 1 << 3,
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
        struct reply *(*reply_new)(struct call *call, size_t size);
        void (*reply_free)(struct call *call, struct reply *reply);

        /* A reply is complete. It may add to it (its size is then what the window counts).
         * Not a reply: see outcome_reply_fault(). -ENOBUFS: the client has too much to read. */
        int (*reply_seal)(struct call *call, struct reply *reply);

        /*
         * Something has changed: the brick has the call, the outbox has grown, the outcome is
         * known. Never while output gathers. It enters no brick.
         */
        void (*pump)(struct call *call);

        /* The brick wants one more message; call_deliver() answers, now or later. */
        void (*receive)(struct call *call);

        /* The brick is done with the delivered message. */
        void (*release)(struct call *call);

        /* Request metadata: the index-th pair. False: past the end. */
        bool (*metadata)(struct call *call, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value);
        struct brick_str (*peer)(struct call *call);

        /* Trailing metadata, as call_trailer() of the ABI. */
        int (*trailer)(struct call *call, struct brick_str key, struct brick_str value);

        /* For whom the call counts among those of its brick; *ret is all zero before. */
        void (*party)(struct call *call, struct share_party *ret);

        /* The call is about to be refused because its brick has no place for it. NULL: nothing to
         * do. */
        void (*busy)(struct call *call);

        /* The brick has left the call: what only the brick has needed may go, but for the arena if
         * `destroy` is set. May come more than once. NULL: nothing to do. */
        void (*forget)(struct call *call);

        /* The last reference is gone. */
        void (*free)(struct call *call);
};

struct call {
        const struct transport *transport;
        struct instance *instance;
        uint32_t slot;             /* of its names, as long as its memory */
        struct brick_call *handle; /* its name, which the brick knows it by */
        uint32_t method;           /* BRICK_METHOD_* */
        atomic_uint refs;
        atomic_bool cancelled;

        pthread_mutex_t lock;
        pthread_cond_t changed; /* a blocking brick waits here */

        enum call_side side;
        bool left;    /* it is DONE, and no entry into the brick runs any more */
        unsigned due; /* DUE_* */
        struct runner *runner;
        bool posted; /* `entries` is in the runner's queue */
        struct run_item entries;
        bool receive_due; /* call_recv() came while the last message was held */

        bool settled; /* the outcome is known */
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
        struct call *next;
        struct call **link;
        uint64_t queued; /* since when it waits there */
};

/* The parts of a call that outlive it, for transports that recycle theirs. -ENOMEM: there are as
 * many calls as there can be. */
int call_init(struct call *call, const struct transport *transport);
void call_done(struct call *call);

/*
 * Begins a new call in recycled memory, whose arena is empty: the caller then has the one
 * reference, the transport's. memory_limit bounds the arena.
 */
void call_reset(struct call *call, struct instance *instance, uint32_t method, size_t memory_limit);

void call_ref(struct call *call);

/* Not from where a brick may be on the stack: the last one destroys the brick's data. */
void call_unref(struct call *call);

/* The same where a brick may be on the stack: if it is the last, the runner frees the call. */
void call_drop(struct call *call);

/* Chooses the call's runner, by its instance and its request, which are known from now on. Before
 * it is admitted. */
void call_choose_runner(struct call *call);

/* Hands an UNSEEN call, for which its instance has room, to its brick: start(), on this thread,
 * which no brick is on the stack of. Lock not held. */
void call_start(struct call *call);

/* The same by the call's runner, soon. The queue takes a reference of its own. Lock not held.
 * [any] */
void call_post_start(struct call *call);

/*
 * Decides the outcome in the brick's stead, unless it is known, and tells the brick, if it has the
 * call, to give up. The outcome's strings must outlive the call. Lock not held. [any]
 */
void call_refuse(struct call *call, const struct outcome *outcome);

/* Refuses a call for which its brick has no place. Lock not held. [any] */
void call_refuse_busy(struct call *call);

/* [transport] The call waits in its instance's queue: from now on its peer's death is to be known.
 * Lock not held. */
void call_watch(struct call *call);

/*
 * [transport] The peer is gone, the deadline is over, or the server stops. Takes the call out of
 * the instance's queue, or tells the brick, once. Lock not held. [any]
 */
void call_cancel(struct call *call);

/* [transport] The answer to receive(): a message, valid until release(), or NULL for the end.
 * Nothing happens if none is wanted any more. Lock held. */
void call_deliver(struct call *call, const struct brick_bytes *message);

/* [transport] Puts a complete reply at the end of the outbox. Lock held. */
void call_push_reply(struct call *call, struct reply *reply);

/* [transport] Takes the next reply out of the outbox; its bytes still count until call_sent(). Lock
 * held. */
struct reply *call_take_reply(struct call *call);

/* What the memory of a queued reply costs besides its bytes: many small ones must not outgrow the
 * window. */
#define CALL_REPLY_OVERHEAD 128

/* [transport] A reply that counted `size` bytes has left, or was dropped. Lock held. */
void call_sent(struct call *call, size_t size);

/* [transport] Drops what is in the outbox. Lock held. */
void call_drop_replies(struct call *call);

/* Memory of a call that is worth freeing before its end. */
#define CALL_FORGET_MIN ((size_t)32 * 1024)

/* [transport] Frees what nobody needs any more, if it is much, and if the brick has left the call.
 * Lock held. */
void call_forget_large(struct call *call);
static inline void call_forget(struct call *call)
{
        if (call->request.len + call->message.len + call->arena.used >= CALL_FORGET_MIN)
                call_forget_large(call);
}

/* Output does not leave now: it gathers until start() returns. Lock held. */
bool call_gathers(const struct call *call);

/* One reply only, kept until the outcome is known: unary and input-streaming calls. */
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

/* The place in a trace that a sound `traceparent` of its metadata gives a call. False: none does.
 */
bool call_caller_trace(struct call *call, struct trace_context *ret);

/* A call's own place in a trace: its span's, or, where nobody traces, its caller's. False: none. */
bool call_trace(struct call *call, struct trace_context *ret);

bool call_is_key(struct brick_str key, const char *wanted, size_t length);

/* The first value of a key in the request's metadata. A NULL ptr: none. */
struct brick_str call_metadata(struct call *call, const char *key);

/* --- for the host functions in call-abi.c: the lock is held, except where said ---------------- */

/* Logs a fault of the brick's module. Lock not held. */
void call_misuse(const struct call *call, const char *what);

/* The brick wants one more message. To a call that is over none comes any more: the end does. */
void call_want_message(struct call *call);

/* Makes entries due, and queues the call if its brick can be entered now. */
void call_post(struct call *call, unsigned due);

/* call_refuse(), but for the calls that this one has made. */
void call_overrule(struct call *call, const struct outcome *outcome);

/* The brick gives the call back. Lock not held. */
void call_finish(struct call *call, const struct outcome *outcome);

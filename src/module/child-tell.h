/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the caller of a child is told: the functions of its struct brick_child_ops. They run on the
 * runner of the parent call, which is the thread that enters the caller.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "module/alarm.h"
#include "module/call.h"

/*
 * A call and two owners. One is the callee's half: `call`, whose transport reference is held until
 * done() has been called. The other is the caller, which keeps its pointer until child_free(): that
 * is not a reference to `call`, because the caller may call child_free() as late as the destruction
 * of the parent's data, and the parent lives until the callee's half is released.
 */
struct brick_child {
        struct call call;
        atomic_uint owners;
        struct call *parent;       /* with a reference; its metadata and peer are the callee's */
        struct brick_child *older; /* in parent->children */
        struct brick_child *newer;
        const struct brick_child_ops *ops;
        void *user;

        struct alarm deadline; /* of the callee's instance; if it is earlier than the parent's */
        bool expired;          /* it has decided the outcome, whatever the callee says */

        struct child_extra *extra;       /* of child_start_with(); NULL: nothing */
        struct child_trailers *trailers; /* NULL: none */

        struct run_item tells; /* in the queue of the parent's runner, if `posted` */
        bool posted;
        bool wanted;       /* child_recv() waits for a reply */
        bool told;         /* done() has been called, or is being called */
        bool closed;       /* child_close() */
        bool refused;      /* child_send() returned -EAGAIN */
        bool writable_due; /* the caller is to be told that it may send again */
        bool full;         /* `incoming` holds a request message */
        bool relayed;      /* the caller has left the parent call to it */
        void *request;
        void *incoming;
        size_t incoming_size;
};

/* Makes the caller's runner tell the caller what there is to tell. Lock of the child held. */
void child_post_tells(struct brick_child *child);

/* The item in the runner's queue that does it. */
void child_run_tells(struct run_item *item);

/*
 * Takes the lock, and a reference to the call; false: done() has been called. Once it has, the
 * callee's half may have been freed, and only the lock and `told` are still valid. Before, the
 * transport's reference exists, so that another may be taken.
 */
bool child_lock_untold(struct brick_child *child);
void child_unlock_untold(struct brick_child *child);

/* The caller, or its client, sends a request message, which is copied. Lock held. -ENOMEM. */
int child_take_message(struct brick_child *child, struct brick_bytes message);

/* There will be no more of them. Lock held. */
void child_take_end(struct brick_child *child);

/* Takes the child out of the list of its parent. Lock of the parent not held. */
void child_unlink(struct brick_child *child);

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/call.h"
#include "module/child-extra.h"
#include "module/child-tell.h"
#include "module/instance.h"
#include "module/relay.h"
#include "module/timer.h"

/* The locks of a child and of its parent: the child's is taken first. */

/* --- the begin -------------------------------------------------------------------------------- */

/* The child's replies can be the call's: the same messages, and no more of them than it may send.
 */
static bool fits(const struct call *parent, const struct call *child)
{
        return parent->instance->type == child->instance->type &&
               (parent->method == BRICK_METHOD_SERVICE_INFO) ==
                       (child->method == BRICK_METHOD_SERVICE_INFO) &&
               (!call_is_single(parent) || call_is_single(child));
}

/* Both locks held. What the brick does wrong; NULL: nothing. */
static const char *find_misuse(const struct call *parent, const struct brick_child *child)
{
        if (parent->side >= SIDE_RELAYED)
                return "relayed a call that it had finished";
        if (parent->side == SIDE_STARTING && parent->instance->blocking)
                return "called call_relay() while start() of a blocking brick ran";
        if (call_is_single(parent) && parent->replies > 0)
                return "relayed a call that has its only reply already";
        if (child->wanted)
                return "relayed a child while a reply was due that it had asked for";
        return NULL;
}

/* Both locks held. */
static void begin(struct call *parent, struct brick_child *child)
{
        enum call_side before = parent->side;

        parent->side = SIDE_RELAYED;
        parent->relay = child;
        if (parent->timers)
                timers_stop(parent);
        if (parent->reserved) {
                parent->transport->reply_free(parent, parent->reserved);
                parent->reserved = NULL;
        }
        parent->left = before == SIDE_IDLE;
        if (parent->left)
                handle_void(parent->slot);
        if (before == SIDE_STARTING)
                parent->transport->pump(parent); /* send what has been collected */
        call_post(parent, DUE_MESSAGE);

        child->relayed = true;
        if (!call_has_request_stream(parent) && !child->closed)
                child_take_end(child);
        child_post_tells(child);
}

int relay_abi_start(struct brick_call *handle, struct brick_child *child)
{
        struct call *parent = handle_find(handle);
        const char *misuse;

        if (!parent) {
                instance_blame(instance_of_number(handle_owner(handle)),
                               "relayed a call that it had finished");
                return -ECANCELED;
        }
        if (child->parent != parent) {
                call_misuse(parent, "relayed the child of another call");
                return -EINVAL;
        }
        if (!fits(parent, &child->call))
                return -EINVAL;
        if (!child_lock_untold(child))
                return -ECANCELED;
        call_lock(parent);
        misuse = find_misuse(parent, child);
        if (!misuse)
                begin(parent, child);
        call_unlock(parent);
        child_unlock_untold(child);
        if (misuse)
                call_misuse(parent, misuse);
        return misuse ? -EINVAL : 0;
}

/* --- on the runner of the parent call --------------------------------------------------------- */

/* No lock held. The call cannot go on. Its first outcome stays. */
static void give_up(struct call *parent, int r)
{
        const struct outcome outcome = r == -ECANCELED ? outcome_cancelled()
                                                       : outcome_errno(parent->method, r);

        call_refuse(parent, &outcome);
}

/* Lock of the child held. */
static int room(struct call *parent, size_t size)
{
        int r;

        call_lock(parent);
        r = call_room(parent, size);
        if (r == -EAGAIN)
                parent->starved = true; /* relay_step() comes when there is room */
        call_unlock(parent);
        return r;
}

/* No lock held. */
static int send(struct brick_child *child, const struct reply *reply)
{
        struct call *parent = child->parent;
        struct reply *copy = parent->transport->reply_new(parent, reply->size);
        int r;

        if (!copy)
                return -ENOMEM;
        if (reply->size > 0)
                memcpy(copy->data, reply->data, reply->size);
        copy->size = reply->size;
        r = call_commit(parent, copy);
        if (r < 0 && outcome_reply_fault(r))
                instance_blame(child->call.instance, outcome_reply_fault(r));
        return r;
}

bool relay_reply(struct brick_child *child)
{
        struct call *call = &child->call;
        struct reply *reply = call->outbox;
        int r = room(child->parent, reply->size);

        if (r == -EAGAIN)
                return false;
        (void)call_take_reply(call);
        call_unlock(call);
        if (r == 0)
                r = send(child, reply);
        if (r < 0)
                give_up(child->parent, r);
        call_lock(call);
        call_sent(call, reply->size);
        free(reply);
        return true;
}

/* Both locks held. */
static int pass_message(struct call *parent, struct brick_child *child)
{
        int r = 0;

        if (parent->inbox == INBOX_READY) {
                if (child->full) {
                        child->refused = true; /* relay_message() comes when it is taken */
                        return 0;
                }
                r = child_take_message(child, parent->message);
                if (r < 0)
                        return r;
        }
        /* A brick that has left the call holds what it had. */
        if (parent->inbox == INBOX_READY || parent->inbox == INBOX_HELD) {
                parent->transport->release(parent);
                parent->inbox = INBOX_IDLE;
        }
        if (parent->inbox == INBOX_IDLE)
                call_want_message(parent);
        else if (parent->inbox == INBOX_END)
                child_take_end(child);
        return 0;
}

void relay_message(struct brick_child *child)
{
        struct call *parent = child->parent;
        int r;

        if (child->closed || child->call.settled || !call_has_request_stream(&child->call))
                return;
        call_lock(parent);
        r = pass_message(parent, child);
        call_unlock(parent);
        if (r == 0)
                return;
        call_unlock(&child->call);
        give_up(parent, r);
        call_lock(&child->call);
}

/* The child is valid: it ends on this thread, and then the side is no longer RELAYED. */
void relay_step(struct call *parent)
{
        struct brick_child *child = parent->relay;
        unsigned due = parent->due;

        parent->due = 0;
        call_unlock(parent);
        call_lock(&child->call);
        if (due & DUE_MESSAGE)
                relay_message(child);
        if (due & DUE_WRITABLE)
                child_post_tells(child);
        call_unlock(&child->call);
        call_lock(parent);
}

static void pass_trailers(struct call *parent, const struct child_trailers *trailers)
{
        call_lock(parent);
        for (size_t i = 0; trailers && i < trailers->n && !parent->settled; i++)
                (void)parent->transport->trailer(parent, trailers->pairs[i].key,
                                                 trailers->pairs[i].value);
        call_unlock(parent);
}

void relay_end(struct brick_child *child)
{
        call_unlock(&child->call);
        pass_trailers(child->parent, child->trailers);
        call_end_relay(child->parent, &child->call.outcome);
        call_lock(&child->call);
}

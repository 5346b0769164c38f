/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/call-abi.h"
#include "module/call.h"
#include "module/child-extra.h"
#include "module/child-tell.h"
#include "module/child.h"
#include "module/groups.h"
#include "module/instance.h"
#include "util/account.h"
#include "util/clock.h"
#include "util/log.h"

/* Bytes of replies that wait for child_recv() of one child. */
#define CHILD_WINDOW (64 * 1024)

static struct brick_child *child_of(struct call *call)
{
        return (struct brick_child *)call;
}

/* False: the brick has finished the parent. Its name is valid until the entry returns in which it
 * did. */
static bool child_link(struct brick_child *child)
{
        struct call *parent = child->parent;

        call_lock(parent);
        if (!call_is_bricks(parent)) {
                call_unlock(parent);
                return false;
        }
        child->older = parent->children;
        if (child->older)
                child->older->newer = child;
        parent->children = child;
        call_unlock(parent);
        return true;
}

void child_unlink(struct brick_child *child)
{
        struct call *parent = child->parent;

        call_lock(parent);
        if (child->newer)
                child->newer->older = child->older;
        else
                parent->children = child->older;
        if (child->older)
                child->older->newer = child->newer;
        call_unlock(parent);
}

/* --- the transport of the callee's call ------------------------------------------------------ */

static int reply_seal(struct call *call, struct reply *reply)
{
        return 0;
}

/* Lock held. */
static void pump(struct call *call)
{
        child_post_tells(child_of(call));
}

/* Requests are copied for the callee. A large copy counts in the account of calls. NULL: out of
 * memory. */
static void *copy_bytes(struct brick_bytes bytes)
{
        void *copy;

        if (bytes.len > ARENA_FREE && !account_take(bytes.len, 0))
                return NULL;
        copy = malloc(bytes.len + 1);
        if (copy && bytes.len > 0)
                memcpy(copy, bytes.ptr, bytes.len);
        if (!copy && bytes.len > ARENA_FREE)
                account_give(bytes.len);
        return copy;
}

/* Takes NULL. */
static void free_copy(void *copy, size_t size)
{
        if (copy && size > ARENA_FREE)
                account_give(size);
        free(copy);
}

static void receive(struct call *call)
{
        struct brick_child *child = child_of(call);
        struct brick_bytes message = { child->incoming, child->incoming_size };

        if (child->full)
                call_deliver(call, &message);
        else if (child->closed)
                call_deliver(call, NULL);
}

static void release(struct call *call)
{
        struct brick_child *child = child_of(call);

        free_copy(child->incoming, child->incoming_size);
        child->incoming = NULL;
        child->full = false;
        if (child->refused) {
                child->refused = false;
                child->writable_due = true;
                child_post_tells(child);
        }
}

static bool metadata(struct call *call, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        const struct brick_child *child = child_of(call);
        struct call *parent = child->parent;

        if (child->extra) {
                if (index >= child->extra->n_metadata)
                        return false;
                *ret_key = child->extra->metadata[index].key;
                *ret_value = child->extra->metadata[index].value;
                return true;
        }
        return parent->transport->metadata(parent, index, ret_key, ret_value);
}

static struct brick_str peer(struct call *call)
{
        struct call *parent = child_of(call)->parent;

        return parent->transport->peer(parent);
}

/* A child call counts for the party of its parent. */
static void party(struct call *call, struct share_party *ret)
{
        struct call *parent = child_of(call)->parent;

        parent->transport->party(parent, ret);
}

/* Trailing metadata is for clients: it counts if the parent call is left to this one. */
static int trailer(struct call *call, struct brick_str key, struct brick_str value)
{
        return child_trailers_add(&child_of(call)->trailers, key, value);
}

/* What it has used counts for the client of its parent. */
static void child_ended(struct call *call, const struct child_trailers *trailers)
{
        struct call *parent = child_of(call)->parent;

        if (parent->transport->child_ended)
                parent->transport->child_ended(parent, trailers);
}

static bool describe_child(struct call *call, const struct call *child,
                           const struct child_trailers *trailers, struct genai_call *ret)
{
        struct call *parent = child_of(call)->parent;

        return parent->transport->describe_child &&
               parent->transport->describe_child(parent, child, trailers, ret);
}

static void child_disown(struct brick_child *child)
{
        if (atomic_fetch_sub(&child->owners, 1) != 1)
                return;
        call_done(&child->call);
        free(child);
}

/* Releases the callee's half. This may be the last reference to the parent, and the destruction of
 * the parent's data may call child_free(). */
static void child_destroy(struct call *call)
{
        struct brick_child *child = child_of(call);

        free_copy(child->request, call->request.len);
        free_copy(child->incoming, child->incoming_size);
        free(child->extra);
        free(child->trailers);
        call_unref(child->parent);
        child_disown(child);
}

static const struct transport child_transport = {
        .reply_new = call_heap_reply_new,
        .reply_free = call_heap_reply_free,
        .reply_seal = reply_seal,
        .pump = pump,
        .receive = receive,
        .release = release,
        .metadata = metadata,
        .peer = peer,
        .trailer = trailer,
        .party = party,
        .child_ended = child_ended,
        .describe_child = describe_child,
        .free = child_destroy,
};

/* --- what the caller calls ------------------------------------------------------------------- */

static int child_new(struct call *parent, struct instance *callee, uint32_t method,
                     struct brick_bytes request, struct brick_child **ret)
{
        _cleanup_free_ struct brick_child *child = calloc(1, sizeof *child);
        struct call *call;
        int r;

        if (!child)
                return -ENOMEM;
        child->request = copy_bytes(request);
        if (!child->request)
                return -ENOMEM;
        call = &child->call;
        r = call_init(call, &child_transport);
        if (r < 0) {
                free_copy(child->request, request.len);
                return r;
        }
        child->tells.run = child_run_tells;
        call_reset(call, callee, method, (size_t)callee->limits.arena);
        call->window = CHILD_WINDOW;
        call->max_reply = SIZE_MAX / 2;
        call->identity = parent->identity; /* which lives as long as the parent */
        call->groups = groups_ref(parent->groups);
        call->started = parent->started;
        if (parent->span.tracer)
                span_begin(&call->span, parent->span.tracer, &parent->span.context, clock_now());
        call->deadline = parent->deadline;
        call->request = (struct brick_bytes){ child->request, request.len };
        call_choose_runner(call);
        atomic_init(&child->owners, 2);
        *ret = TAKE_PTR(child);
        return 0;
}

/* Gives the call to its callee, or refuses it. */
static void child_dispatch(struct call *call)
{
        if (!(call->instance->methods & (1u << call->method))) {
                const struct outcome outcome = outcome_no_handler(call->method);

                call_refuse(call, &outcome);
                return;
        }
        if (call_admit(call))
                call_post_start(call);
}

/* The callee has not finished in time. */
static void expire(struct alarm *alarm)
{
        struct brick_child *child = CONTAINER_OF(alarm, struct brick_child, deadline);
        bool late;

        call_lock(&child->call);
        late = !child->call.settled;
        child->expired = late;
        call_unlock(&child->call);
        if (late)
                child_abi_cancel(child);
}

/* limits.timeout of the callee and the deadline that the caller has given (0: none) count if they
 * are earlier than the parent's. */
static void set_deadline(struct brick_child *child, uint64_t given)
{
        struct call *call = &child->call;
        struct instance *callee = call->instance;
        static struct line_limit limit = LINE_LIMIT_INIT;
        uint64_t ns = (uint64_t)callee->limits.timeout;
        uint64_t at = given > 0 ? given : UINT64_MAX;

        if (ns > 0) {
                uint64_t end = clock_now() + ns;

                at = end < at ? end : at;
        }
        if (at >= call->deadline)
                return;
        call->deadline = at;
        if (alarms_start(&callee->alarms) < 0) {
                if (line_limit_take(&limit) >= 0)
                        log_error("Cannot create a thread for deadlines of calls to brick '%s': a "
                                  "call of another brick runs without one",
                                  callee->conf->name);
                return;
        }
        child->deadline.call = call;
        child->deadline.ring = expire;
        alarm_set(&callee->alarms, &child->deadline, at);
}

int child_abi_start(struct brick_call *handle, struct brick_target *target, uint32_t method,
                    struct brick_bytes request, const struct brick_child_ops *ops, void *user,
                    struct brick_child **ret)
{
        return child_abi_start_with(handle, target, method, request, NULL, ops, user, ret);
}

static int blame_finished(struct brick_call *handle)
{
        instance_blame(instance_of_number(handle_owner(handle)),
                       "called a brick on behalf of a call that it had finished");
        return -ECANCELED;
}

/* A child that nobody knows yet. */
static void child_discard(struct brick_child *child)
{
        atomic_store(&child->owners, 1);
        child_destroy(&child->call);
}

/* The options as this brickd knows them; all zeros if there are none. */
static struct brick_child_options known(const struct brick_child_options *options)
{
        struct brick_child_options all = {};

        if (options)
                memcpy(&all, options,
                       options->struct_size < sizeof all ? options->struct_size : sizeof all);
        return all;
}

int child_abi_start_with(struct brick_call *handle, struct brick_target *target, uint32_t method,
                         struct brick_bytes request, const struct brick_child_options *given,
                         const struct brick_child_ops *ops, void *user, struct brick_child **ret)
{
        struct call *call, *parent = handle_find(handle);
        const struct brick_child_options options = known(given);
        struct child_extra *extra = NULL;
        struct brick_child *child;
        int r = 0;

        if (method > BRICK_METHOD_BIDI_STREAMING || !ops->done)
                return -EINVAL;
        if (!parent)
                return blame_finished(handle);
        if (atomic_load(&parent->cancelled))
                return -ECANCELED;
        if (given)
                r = child_extra_new(&extra, parent, &options);
        if (r < 0)
                return r;
        r = child_new(parent, target->instance, method, request, &child);
        if (r < 0) {
                free(extra);
                return r;
        }

        call = &child->call;
        call_ref(parent);
        child->parent = parent;
        child->extra = extra;
        child->ops = ops;
        child->user = user;
        if (!child_link(child)) {
                child_discard(child);
                return blame_finished(handle);
        }
        call_ref(call); /* for this function */
        *ret = child;
        set_deadline(child, options.deadline);

        /* If the parent was cancelled before child_link(), nobody has cancelled this child. */
        if (atomic_load(&parent->cancelled))
                child_abi_cancel(child);
        else
                child_dispatch(call);
        call_drop(call);
        return 0;
}

bool child_lock_untold(struct brick_child *child)
{
        call_lock(&child->call);
        if (child->told) {
                call_unlock(&child->call);
                return false;
        }
        call_ref(&child->call);
        return true;
}

void child_unlock_untold(struct brick_child *child)
{
        call_unlock(&child->call);
        call_drop(&child->call);
}

void child_abi_recv(struct brick_child *child)
{
        if (!child_lock_untold(child))
                return;
        if (!child->relayed) {
                child->wanted = true;
                child_post_tells(child);
        }
        child_unlock_untold(child);
}

int child_take_message(struct brick_child *child, struct brick_bytes message)
{
        child->incoming = copy_bytes(message);
        if (!child->incoming)
                return -ENOMEM;
        child->incoming_size = message.len;
        child->full = true;
        if (child->call.inbox == INBOX_WANTED)
                receive(&child->call);
        return 0;
}

int child_abi_send(struct brick_child *child, struct brick_bytes message)
{
        struct call *call = &child->call;
        int r = 0;

        if (!child_lock_untold(child))
                return -ECANCELED;
        if (child->closed || child->relayed || !call_has_request_stream(call)) {
                r = -EINVAL;
        } else if (call->settled || atomic_load(&call->cancelled)) {
                r = -ECANCELED;
        } else if (child->full) {
                child->refused = true;
                r = -EAGAIN;
        } else {
                r = child_take_message(child, message);
        }
        child_unlock_untold(child);
        return r;
}

void child_take_end(struct brick_child *child)
{
        child->closed = true;
        if (child->call.inbox == INBOX_WANTED && !child->full)
                receive(&child->call);
}

void child_abi_close(struct brick_child *child)
{
        if (!child_lock_untold(child))
                return;
        if (!child->relayed)
                child_take_end(child);
        child_unlock_untold(child);
}

void child_abi_cancel(struct brick_child *child)
{
        const struct outcome cancelled = outcome_cancelled();

        if (!child_lock_untold(child))
                return;
        call_unlock(&child->call);
        call_cancel(&child->call);
        call_refuse(&child->call, &cancelled);
        call_lock(&child->call);
        /* The callee may have finished before: drop its replies, and tell the caller the end. */
        child_post_tells(child);
        child_unlock_untold(child);
}

void child_abi_free(struct brick_child *child)
{
        child_abi_cancel(child);
        child_disown(child);
}

/* A child that has not been cancelled, with a reference; NULL: there is none. */
static struct brick_child *next_to_cancel(struct call *parent)
{
        struct brick_child *child;

        call_lock(parent);
        child = parent->children;
        while (child && atomic_load(&child->call.cancelled))
                child = child->older;
        if (child)
                call_ref(&child->call);
        call_unlock(parent);
        return child;
}

void child_cancel_all(struct call *parent)
{
        struct brick_child *child;

        while ((child = next_to_cancel(parent))) {
                child_abi_cancel(child);
                call_drop(&child->call);
        }
}

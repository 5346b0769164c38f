/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "module/call.h"
#include "module/child.h"
#include "module/entry.h"
#include "module/groups.h"
#include "module/instance.h"
#include "module/timer.h"
#include "util/account.h"
#include "util/clock.h"
#include "util/line-limit.h"
#include "util/log.h"

static void run_free(struct run_item *item);

/* --- memory and references -------------------------------------------------------------------- */

int call_init(struct call *call, const struct transport *transport)
{
        call->slot = handle_claim(call);
        if (call->slot == 0)
                return -ENOMEM;
        call->transport = transport;
        (void)pthread_mutex_init(&call->lock, NULL);
        clock_cond_init(&call->changed);
        arena_init(&call->arena, 0);
        arena_count(&call->arena);
        return 0;
}

void call_done(struct call *call)
{
        handle_release(call->slot);
        arena_done(&call->arena);
        (void)pthread_cond_destroy(&call->changed);
        (void)pthread_mutex_destroy(&call->lock);
}

void call_reset(struct call *call, struct instance *instance, uint32_t method, size_t memory_limit)
{
        call->instance = instance;
        call->handle = NULL;
        call->method = method;
        atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
        atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
        call->side = SIDE_UNSEEN;
        call->due = 0;
        call->runner = &runner_polling;
        call->posted = false;
        call->entries.run = call_run_entries;
        call->receive_due = false;
        call->settled = false;
        call->left = false;
        call->outbox = NULL;
        call->outbox_end = &call->outbox;
        call->reserved = NULL;
        call->outbox_bytes = 0;
        call->starved = false;
        call->replies = 0;
        call->inbox = INBOX_IDLE;
        call->children = NULL;
        call->relay = NULL;
        call->timers = NULL;
        call->request = (struct brick_bytes){};
        call->message = (struct brick_bytes){};
        call->timed = false;
        call->given_at = 0;
        call->settled_at = 0;
        call->identity = brick_str("");
        call->groups = NULL;
        call->span.tracer = NULL;
        call->data = NULL;
        call->destroy = NULL;
        call->place = (struct share_place){};
        arena_limit(&call->arena, memory_limit);
}

static void destroy_data(struct call *call)
{
        struct entry entry;

        entry_begin(&entry, call->instance);
        call->destroy(call->data);
        (void)entry_end(&entry, call->instance);
}

static void call_free(struct call *call)
{
        if (call->destroy)
                destroy_data(call);
        if (call->timers)
                timers_free(call);
        if (call->reserved)
                call->transport->reply_free(call, call->reserved);
        call_drop_replies(call);
        call->groups = groups_unref(call->groups);
        call->transport->free(call);
}

static bool is_last_ref(struct call *call)
{
        return atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1;
}

void call_unref(struct call *call)
{
        if (is_last_ref(call))
                call_free(call);
}

void call_drop(struct call *call)
{
        if (!is_last_ref(call))
                return;
        /* Nobody has a reference, so the item is in no queue. */
        call->entries.run = run_free;
        runner_post(call->runner, &call->entries);
}

static void run_free(struct run_item *item)
{
        call_free(CONTAINER_OF(item, struct call, entries));
}

/* --- the outcome ------------------------------------------------------------------------------ */

void call_misuse(const struct call *call, const char *what)
{
        instance_blame(call->instance, what);
}

bool call_gathers(const struct call *call)
{
        return call->side == SIDE_STARTING && !call->instance->blocking;
}

/* Lock held. The first outcome is the one that the peer gets. */
static void settle(struct call *call, const struct outcome *outcome)
{
        if (call->settled)
                return;

        call->settled = true;
        call->outcome = *outcome;
        if (call->timed)
                call->settled_at = clock_now();
        /* Ends the wait of a blocking brick for the window or for a message. */
        (void)pthread_cond_broadcast(&call->changed);
        if (!call->instance || !call_gathers(call))
                call->transport->pump(call);
}

/* Lock held. Tells a brick that has the call to give it up, and ends what it waits for. A brick
 * without cancel() learns of it by a message NULL or by writable(). */
static void tell_over(struct call *call)
{
        const struct brick_module *brick = call->instance->brick;
        unsigned due = 0;

        (void)pthread_cond_broadcast(&call->changed);
        if (brick->cancel)
                due |= DUE_CANCEL;
        else
                call_deliver(call, NULL);
        if (call->starved && !call->instance->blocking) {
                call->starved = false;
                due |= DUE_WRITABLE;
        }
        if (due != 0)
                call_post(call, due);
}

/* Lock held. Marks the call as cancelled and tells the brick if it has the call, once. */
static void cancel(struct call *call)
{
        if (atomic_exchange(&call->cancelled, true))
                return;
        if (call_is_bricks(call))
                tell_over(call);
}

void call_overrule(struct call *call, const struct outcome *outcome)
{
        settle(call, outcome);
        if (call->side != SIDE_UNSEEN)
                cancel(call);
}

void call_refuse(struct call *call, const struct outcome *outcome)
{
        bool children;

        call_lock(call);
        call_overrule(call, outcome);
        children = call->children;
        call_unlock(call);
        if (children)
                child_cancel_all(call);
}

void call_refuse_busy(struct call *call)
{
        const struct outcome busy = outcome_busy();

        call_lock(call);
        if (call->transport->busy)
                call->transport->busy(call);
        settle(call, &busy);
        call_unlock(call);
}

static void refuse_stopping(struct call *call)
{
        const struct outcome stopping = outcome_stopping();

        call_refuse(call, &stopping);
}

bool call_admit(struct call *call)
{
        switch (instance_admit(call->instance, call)) {
        case ADMIT_START:
                return true;
        case ADMIT_QUEUED:
                break;
        case ADMIT_FULL:
                call_refuse_busy(call);
                break;
        case ADMIT_CLOSED:
                refuse_stopping(call);
                break;
        }
        return false;
}

void call_watch(struct call *call)
{
        call_lock(call);
        if (call->side == SIDE_UNSEEN && !call->settled)
                call->transport->pump(call);
        call_unlock(call);
}

void call_cancel(struct call *call)
{
        bool unseen, children;

        call_lock(call);
        cancel(call);
        unseen = call->side == SIDE_UNSEEN;
        children = call->children;
        call_unlock(call);

        if (children)
                child_cancel_all(call);
        if (unseen && call->instance && instance_withdraw(call->instance, call)) {
                struct outcome outcome = outcome_cancelled();

                call_refuse(call, &outcome);
                call_unref(call); /* the queue's */
        }
}

static void log_no_memory(const struct instance *instance)
{
        static struct line_limit limit = LINE_LIMIT_INIT; /* clients can cause these lines */
        const char *name = instance->conf->name;
        const struct log_field fields[] = { { "BRICK", name, strlen(name) } };
        char others[64] = "";
        int n = line_limit_take(&limit);

        if (n < 0)
                return;
        if (n > 0)
                (void)snprintf(others, sizeof others, "; %d more since the last such line", n);
        log_fields(
                LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields),
                "A call of brick '%s' got no memory: calls of this worker hold half of 'memory', "
                "%zu MiB%s",
                name, account_held() >> 20, others);
}

struct outcome call_outcome_errno(const struct call *call, int r)
{
        if (r != -ENOMEM || !call->arena.refused)
                return outcome_errno(call->method, r);
        log_no_memory(call->instance);
        return outcome_no_memory();
}

/* Lock held. The brick's outcome, with its strings copied into the call's arena. */
static struct outcome own_outcome(struct call *call, struct outcome outcome)
{
        if (outcome_is_success(&outcome) && call_is_single(call) && call->replies == 0)
                outcome = outcome_no_reply(call->method, call->instance->type);
        /* Copy the texts even if the brick has used up the memory of the call. */
        arena_limit(&call->arena, SIZE_MAX);
        if (outcome.message.len > 0)
                outcome.message = outcome_text(&call->arena, outcome.message);
        if (outcome.detail.len > 0)
                outcome.detail = outcome_text(&call->arena, outcome.detail);
        return outcome;
}

/* Lock held, and released. The side has become DONE. */
static void conclude(struct call *call, enum call_side before, const struct outcome *outcome)
{
        struct outcome own;
        bool children;

        /* The client's next call finds the place free, even if it comes with the answer. */
        instance_vacate(call->instance);
        if (!call->settled) {
                own = own_outcome(call, *outcome);
                settle(call, &own);
        } else if (before == SIDE_STARTING && !call->instance->blocking) {
                call->transport->pump(call); /* send what has been collected */
        }
        children = call->children;
        call_unlock(call);

        /* Cancel the calls made on behalf of this one. */
        if (children)
                child_cancel_all(call);
        instance_release(call->instance, call);
        call_drop(call); /* the brick's reference */
}

void call_finish(struct call *call, const struct outcome *outcome)
{
        enum call_side before;

        call_lock(call);
        before = call->side;
        if (before >= SIDE_RELAYED) {
                call_unlock(call);
                call_misuse(call, "finished a call twice");
                return;
        }
        call->side = SIDE_DONE;
        if (call->timers)
                timers_stop(call);
        /* While an entry runs, the brick may still use its data: leave() does this then. */
        call->left = before == SIDE_IDLE;
        if (call->left)
                handle_void(call->slot);
        conclude(call, before, outcome);
}

void call_end_relay(struct call *call, const struct outcome *outcome)
{
        call_lock(call);
        call->side = SIDE_DONE;
        conclude(call, SIDE_RELAYED, outcome);
}

void call_forget_large(struct call *call)
{
        if (!call->left || call->children)
                return;
        if (call->inbox == INBOX_READY || call->inbox == INBOX_HELD) {
                call->transport->release(call);
                call->inbox = INBOX_END;
                call->message = (struct brick_bytes){};
        }
        if (call->transport->forget)
                call->transport->forget(call);
}

/* --- messages in and replies out -------------------------------------------------------------- */

/* A blocking brick waits for messages and for room inside functions of the host. */
static bool brick_waits(const struct call *call)
{
        return call->instance->blocking && call->side != SIDE_RELAYED;
}

void call_deliver(struct call *call, const struct brick_bytes *message)
{
        if (call->inbox != INBOX_WANTED)
                return;
        if (message) {
                call->inbox = INBOX_READY;
                call->message = *message;
        } else {
                call->inbox = INBOX_END;
        }
        if (brick_waits(call))
                (void)pthread_cond_broadcast(&call->changed);
        else
                call_post(call, DUE_MESSAGE);
}

struct reply *call_heap_reply_new(struct call *call, size_t size)
{
        struct reply *reply = malloc(sizeof *reply + size);

        if (reply)
                *reply = (struct reply){ .data = reply + 1, .size = size };
        return reply;
}

void call_heap_reply_free(struct call *call, struct reply *reply)
{
        free(reply);
}

void call_push_reply(struct call *call, struct reply *reply)
{
        reply->next = NULL;
        *call->outbox_end = reply;
        call->outbox_end = &reply->next;
        call->outbox_bytes += reply->size + CALL_REPLY_OVERHEAD;
        call->replies++;
}

struct reply *call_take_reply(struct call *call)
{
        struct reply *reply = call->outbox;

        if (reply) {
                call->outbox = reply->next;
                if (!call->outbox)
                        call->outbox_end = &call->outbox;
        }
        return reply;
}

void call_sent(struct call *call, size_t size)
{
        call->outbox_bytes -= size + CALL_REPLY_OVERHEAD;
        if (!call->starved || call->outbox_bytes > call->window / 2)
                return;

        call->starved = false;
        if (brick_waits(call))
                (void)pthread_cond_broadcast(&call->changed);
        else
                call_post(call, DUE_WRITABLE);
}

void call_drop_replies(struct call *call)
{
        struct reply *reply;

        while ((reply = call_take_reply(call))) {
                call->outbox_bytes -= reply->size + CALL_REPLY_OVERHEAD;
                call->transport->reply_free(call, reply);
        }
}

/* --- what it carries -------------------------------------------------------------------------- */

bool call_is_key(struct brick_str key, const char *wanted, size_t length)
{
        return key.len == length && memcmp(key.ptr, wanted, length) == 0;
}

struct brick_str call_metadata(struct call *call, const char *key)
{
        size_t length = strlen(key);
        struct brick_str k, v;

        for (size_t i = 0; call->transport->metadata(call, i, &k, &v); i++)
                if (call_is_key(k, key, length))
                        return v;
        return (struct brick_str){};
}

/* Two headers: none of them counts, because nobody can tell which is right. */
bool call_caller_trace(struct call *call, struct trace_context *ret)
{
        struct brick_str key, value, found = {};

        for (size_t i = 0; call->transport->metadata(call, i, &key, &value); i++)
                if (call_is_key(key, "traceparent", 11)) {
                        if (found.ptr)
                                return false;
                        found = value;
                }
        return found.ptr && trace_parse(found.ptr, found.len, ret);
}

bool call_trace(struct call *call, struct trace_context *ret)
{
        if (!call->span.tracer)
                return call_caller_trace(call, ret);
        *ret = call->span.context;
        return true;
}

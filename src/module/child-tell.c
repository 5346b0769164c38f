/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "module/child-extra.h"
#include "module/child-tell.h"
#include "module/entry.h"
#include "module/instance.h"
#include "module/relay.h"
#include "util/clock.h"

/* What one caller is told in a turn of its runner, before others have theirs. */
#define TELLS_PER_TURN 32

/* The lock of the child is held, except while the caller's code runs. */

static void tell_begin(struct brick_child *child, struct entry *entry)
{
        call_unlock(&child->call);
        entry_begin(entry, child->parent->instance);
}

static void tell_end(struct brick_child *child, struct entry *entry)
{
        (void)entry_end(entry, child->parent->instance);
        call_lock(&child->call);
}

static void tell_message(struct brick_child *child, struct reply *reply)
{
        struct entry entry;

        child->wanted = false;
        tell_begin(child, &entry);
        if (child->ops->message)
                child->ops->message(child->user, (struct brick_bytes){ reply->data, reply->size });
        tell_end(child, &entry);
        call_sent(&child->call, reply->size);
        free(reply);
}

/* To the caller, or past it. False: the caller's client has to read before. */
static bool give_reply(struct brick_child *child)
{
        if (child->relayed)
                return relay_reply(child);
        tell_message(child, call_take_reply(&child->call));
        return true;
}

static void tell_writable(struct brick_child *child)
{
        struct entry entry;

        child->writable_due = false;
        if (child->ops->struct_size < offsetof(struct brick_child_ops, writable) + sizeof(void *) ||
            !child->ops->writable)
                return;
        tell_begin(child, &entry);
        child->ops->writable(child->user);
        tell_end(child, &entry);
}

/* The callee has taken the last message of the caller's client. */
static void pass_message(struct brick_child *child)
{
        child->writable_due = false;
        relay_message(child);
}

/* Counts a call by another brick; its transport counts a call from the wire. */
static void count(struct instance *callee, const struct outcome *outcome)
{
        struct stats_brick_counters *counters = &callee->stats->counters;

        stats_count_shared(&counters->inner);
        if (!outcome_is_success(outcome))
                stats_count_shared(&counters->inner_failed);
}

static void end_span(const struct brick_child *child)
{
        const struct call *call = &child->call;
        struct call *parent = child->parent;
        struct span_record record = {
                .span = call->span,
                .ended = clock_now(),
                .brick = call->instance->conf->name,
                .type = call->instance->type,
                .method = call->method,
                .internal = true,
                .status = call->outcome.in_band ? 0 : call->outcome.status,
                .in_band = call->outcome.in_band,
                .code = call->outcome.code,
        };

        if (parent->transport->describe_child)
                record.has_genai = parent->transport->describe_child(parent, call, child->trailers,
                                                                     &record.genai);
        if (child->extra) {
                record.name_length = child->extra->name.len;
                memcpy(record.name, child->extra->name.ptr, record.name_length);
        }
        span_end(&record);
}

/* Never a NULL pointer: modules of ABI 1.2 pass it to strndup(). */
static struct brick_str text_of(struct brick_str text)
{
        return text.ptr ? text : brick_str("");
}

static void tell_done(struct brick_child *child)
{
        struct outcome *o = &child->call.outcome;
        struct brick_outcome outcome;
        struct entry entry;

        if (child->deadline.call)
                alarm_clear(&child->call.instance->alarms, &child->deadline);
        if (child->expired)
                *o = outcome_expired();
        outcome = (struct brick_outcome){
                .struct_size = sizeof outcome,
                .status = o->in_band ? 0 : o->status,
                .code = o->in_band ? o->code : 200,
                .message = text_of(o->message),
                .detail = text_of(o->detail),
        };
        count(child->call.instance, o);
        if (span_is_recorded(&child->call.span))
                end_span(child);
        child->told = true;
        child_unlink(child);
        if (child->relayed)
                relay_end(child);
        else if (child->trailers && child->parent->transport->child_ended)
                child->parent->transport->child_ended(child->parent, child->trailers);
        tell_begin(child, &entry);
        child->ops->done(child->user, &outcome);
        tell_end(child, &entry);
        call_unref(&child->call); /* the transport's; child_run_tells() has another */
}

/* Whether the replies left in the outbox of a finished call are to be dropped. */
static bool is_void(struct call *call)
{
        return atomic_load(&call->cancelled) ||
               (call_is_single(call) && !outcome_is_success(&call->outcome));
}

/* Tells the caller one thing. False: there is none. */
static bool tell_next(struct brick_child *child)
{
        struct call *call = &child->call;
        bool finished = call->settled;

        if (finished && is_void(call))
                call_drop_replies(call);
        if (child->relayed && child->writable_due)
                pass_message(child);
        else if ((child->wanted || child->relayed) && call->outbox &&
                 (finished || !call_is_single(call)))
                return give_reply(child);
        else if (finished && !call->outbox)
                tell_done(child);
        else if (child->writable_due)
                tell_writable(child);
        else
                return false;
        return true;
}

void child_post_tells(struct brick_child *child)
{
        if (child->posted || child->told)
                return;
        child->posted = true;
        call_ref(&child->call);
        runner_post(child->parent->runner, &child->tells);
}

void child_run_tells(struct run_item *item)
{
        struct brick_child *child = CONTAINER_OF(item, struct brick_child, tells);
        unsigned n = 0;

        call_lock(&child->call);
        while (!child->told && n < TELLS_PER_TURN && tell_next(child))
                n++;
        child->posted = false;
        if (n == TELLS_PER_TURN)
                child_post_tells(child);
        call_unlock(&child->call);
        call_unref(&child->call);
}

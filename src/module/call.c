/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "module/call.h"
#include "module/child.h"
#include "module/entry.h"
#include "module/instance.h"
#include "util/clock.h"
#include "util/log.h"

void call_init(struct brick_call *call, const struct transport *transport)
{
        pthread_condattr_t attr;

        call->transport = transport;
        (void)pthread_mutex_init(&call->lock, NULL);
        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&call->changed, &attr);
        (void)pthread_condattr_destroy(&attr);
        arena_init(&call->arena, 0);
}

void call_done(struct brick_call *call)
{
        arena_done(&call->arena);
        (void)pthread_cond_destroy(&call->changed);
        (void)pthread_mutex_destroy(&call->lock);
}

void call_reset(struct brick_call *call, struct instance *instance, uint32_t method,
                size_t memory_limit)
{
        call->instance = instance;
        call->method = method;
        atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
        atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
        atomic_store_explicit(&call->finish_claimed, false, memory_order_relaxed);
        call->phase = CALL_WAITING;
        call->given = false;
        call->in_start = false;
        call->entered = false;
        call->cancel_told = false;
        call->message_due = false;
        call->writable_due = false;
        call->receive_due = false;
        call->outbox = NULL;
        call->outbox_end = &call->outbox;
        call->reserved = NULL;
        call->outbox_bytes = 0;
        call->starved = false;
        call->replies = 0;
        call->inbox = INBOX_IDLE;
        call->children = NULL;
        call->request = (struct brick_bytes){};
        call->message = (struct brick_bytes){};
        call->timed = false;
        call->given_at = 0;
        call->settled_at = 0;
        call->identity = brick_str("");
        call->span.tracer = NULL;
        call->data = NULL;
        call->destroy = NULL;
        call->member = NULL;
        call->pool = SHARE_NONE;
        call->next = NULL;
        call->link = NULL;
        arena_limit(&call->arena, memory_limit);
}

void call_ref(struct brick_call *call)
{
        (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

static void destroy_data(struct brick_call *call)
{
        struct entry entry;

        entry_begin(&entry, call->instance);
        call->destroy(call->data);
        entry_end(&entry, call->instance);
}

void call_unref(struct brick_call *call)
{
        if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
                return;

        if (call->destroy)
                destroy_data(call);
        if (call->reserved)
                call->transport->reply_free(call, call->reserved);
        call_drop_replies(call);
        call->transport->free(call);
}

static void lock(struct brick_call *call)
{
        (void)pthread_mutex_lock(&call->lock);
}

static void unlock(struct brick_call *call)
{
        (void)pthread_mutex_unlock(&call->lock);
}

static void misuse(struct brick_call *call, const char *what)
{
        struct instance *instance = call->instance;
        const struct log_field fields[] = {
                { "BRICK", instance->conf->name, strlen(instance->conf->name) },
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
        };

        log_fields(LOG_LEVEL_ERROR, fields, ELEMENTSOF(fields),
                   "Brick '%s' %s: a fault of module %s", instance->conf->name, what,
                   instance->module->path);
}

bool call_gathers(const struct brick_call *call)
{
        return call->in_start && !call->instance->blocking;
}

/* The strings of an outcome are the brick's, and it may free them. */
static struct brick_str keep(struct brick_call *call, struct brick_str s)
{
        char *copy = s.len > 0 ? arena_strndup(&call->arena, s.ptr, s.len) : NULL;

        return copy ? (struct brick_str){ copy, s.len } : (struct brick_str){ "", 0 };
}

/* What the peer is told is decided once; what comes later only gives up references. */
void call_settle(struct brick_call *call, const struct outcome *outcome)
{
        if (call->phase == CALL_FINISHED)
                return;

        call->phase = CALL_FINISHED;
        call->outcome = *outcome;
        if (call->timed)
                call->settled_at = clock_now();
        /* A brick that waits for the window or for a message waits in vain now. */
        (void)pthread_cond_broadcast(&call->changed);
        if (!call->instance || !call_gathers(call))
                call->transport->pump(call);
}

void call_refuse(struct brick_call *call, const struct outcome *outcome)
{
        lock(call);
        call_settle(call, outcome);
        unlock(call);
}

void call_refuse_busy(struct brick_call *call)
{
        const struct outcome busy = outcome_busy();

        lock(call);
        if (call->transport->busy)
                call->transport->busy(call);
        call_settle(call, &busy);
        unlock(call);
}

void call_watch(struct brick_call *call)
{
        lock(call);
        if (call->phase == CALL_WAITING)
                call->transport->pump(call);
        unlock(call);
}

/* Lock held. A brick without cancel() learns it from what it waits for. */
static void end_waits(struct brick_call *call)
{
        (void)pthread_cond_broadcast(&call->changed);
        if (call->starved && !call->instance->blocking) {
                call->starved = false;
                call->writable_due = true;
        }
        if (!call->instance->brick->cancel)
                call_deliver(call, NULL);
}

/* Lock held. */
static void tell_cancel(struct brick_call *call)
{
        struct instance *instance = call->instance;
        struct entry entry;

        if (!call->given || call->in_start || call->cancel_told ||
            atomic_load(&call->finish_claimed))
                return;
        call->cancel_told = true;
        if (!instance->brick->cancel)
                return;

        call_ref(call);
        unlock(call);
        entry_begin(&entry, instance);
        instance->brick->cancel(instance->self, call);
        entry_end(&entry, instance);
        lock(call);
        /* Not the last reference: the caller has one. */
        call_unref(call);
}

void call_cancel(struct brick_call *call)
{
        bool given;

        atomic_store(&call->cancelled, true);
        lock(call);
        given = call->given;
        if (given) {
                end_waits(call);
                tell_cancel(call);
                call_enter_due(call);
        }
        unlock(call);

        if (given) {
                child_cancel_all(call);
        } else if (call->instance && instance_withdraw(call->instance, call)) {
                struct outcome outcome = outcome_cancelled();

                call_refuse(call, &outcome);
                call_unref(call); /* the queue's */
        }
}

/* The brick gives the call back. */
static void finish(struct brick_call *call, struct outcome outcome)
{
        bool children;

        if (atomic_exchange(&call->finish_claimed, true)) {
                misuse(call, "finished a call twice");
                return;
        }

        lock(call);
        if (call->phase == CALL_RUNNING) {
                if (outcome_is_success(&outcome) && call_is_single(call) && call->replies == 0)
                        outcome = outcome_no_reply(call->method, call->instance->type);
                /* The limit was for its work; what it says at the end must not be lost to it. */
                arena_limit(&call->arena, SIZE_MAX);
                outcome.message = keep(call, outcome.message);
                outcome.detail = keep(call, outcome.detail);
                call_settle(call, &outcome);
        }
        children = call->children;
        unlock(call);
        /* On whose behalf should they go on? */
        if (children)
                child_cancel_all(call);
        instance_release(call->instance, call);
        call_unref(call);
}

/* start() has said no: the call is ours again, and this is what its peer is told. */
static struct outcome outcome_of_errno(struct brick_call *call, int r)
{
        const char *text = strerrordesc_np(-r);

        return r == -ENOSYS ? outcome_not_implemented("")
                            : outcome_exception(call->method, text ? text : "");
}

/* The brick's from here on, unless its peer has gone while it waited. */
static bool give(struct brick_call *call)
{
        bool given;

        lock(call);
        given = call->phase == CALL_WAITING && !atomic_load(&call->cancelled);
        if (given) {
                call->phase = CALL_RUNNING;
                call->given = true;
                call->in_start = true;
                if (call->timed)
                        call->given_at = clock_now();
                call_ref(call); /* the brick's */
                if (call->instance->blocking)
                        call->transport->pump(call);
        }
        unlock(call);
        return given;
}

void call_forget_large(struct brick_call *call)
{
        if (!atomic_load(&call->finish_claimed) || call->in_start || call->entered ||
            call->cancel_told || call->children)
                return;
        if (call->inbox == INBOX_READY || call->inbox == INBOX_HELD) {
                call->transport->release(call);
                call->inbox = INBOX_END;
                call->message = (struct brick_bytes){};
        }
        if (call->transport->forget)
                call->transport->forget(call);
}

void call_start(struct brick_call *call)
{
        struct instance *instance = call->instance;
        struct outcome outcome;
        struct entry entry;
        int r;

        if (!give(call)) {
                outcome = outcome_cancelled();
                call_refuse(call, &outcome);
                instance_release(instance, call);
                return;
        }

        call_ref(call); /* for this function */
        entry_begin(&entry, instance);
        r = instance->brick->start(instance->self, call, call->method);
        entry_end(&entry, instance);
        if (r < 0 && !atomic_load(&call->finish_claimed))
                finish(call, outcome_of_errno(call, r));

        lock(call);
        call->in_start = false;
        if (!instance->blocking)
                call->transport->pump(call);
        if (atomic_load(&call->cancelled))
                tell_cancel(call);
        call_enter_due(call);
        unlock(call);
        call_unref(call);
}

/* Lock held. To a call that is over no message comes any more. */
static void want_message(struct brick_call *call)
{
        call->inbox = INBOX_WANTED;
        if (call->phase == CALL_RUNNING && !atomic_load(&call->cancelled))
                call->transport->receive(call);
        else
                call_deliver(call, NULL);
}

/* Lock held. */
static void enter_message(struct brick_call *call)
{
        struct instance *instance = call->instance;
        struct brick_bytes message = call->message;
        bool end = call->inbox == INBOX_END;
        struct entry entry;

        call->message_due = false;
        if (!end)
                call->inbox = INBOX_HELD;
        unlock(call);
        entry_begin(&entry, instance);
        instance->brick->message(instance->self, call, end ? NULL : &message);
        entry_end(&entry, instance);
        lock(call);
        if (end)
                return;

        call->transport->release(call);
        call->inbox = INBOX_IDLE;
        if (call->receive_due) {
                call->receive_due = false;
                want_message(call);
        }
}

/* Lock held. */
static void enter_writable(struct brick_call *call)
{
        struct instance *instance = call->instance;
        struct entry entry;

        call->writable_due = false;
        if (!instance->brick->writable)
                return;
        unlock(call);
        entry_begin(&entry, instance);
        instance->brick->writable(instance->self, call);
        entry_end(&entry, instance);
        lock(call);
}

void call_enter_due(struct brick_call *call)
{
        if (call->entered || call->in_start)
                return;

        call_ref(call);
        call->entered = true;
        while (call->phase == CALL_RUNNING && (call->message_due || call->writable_due)) {
                if (call->message_due)
                        enter_message(call);
                else
                        enter_writable(call);
        }
        call->entered = false;
        call_forget(call);
        call_unref(call); /* not the last: the caller has one */
}

void call_deliver(struct brick_call *call, const struct brick_bytes *message)
{
        if (call->inbox != INBOX_WANTED)
                return;
        if (message) {
                call->inbox = INBOX_READY;
                call->message = *message;
        } else {
                call->inbox = INBOX_END;
        }
        if (call->instance->blocking)
                (void)pthread_cond_broadcast(&call->changed);
        else
                call->message_due = true;
}

void call_push_reply(struct brick_call *call, struct reply *reply)
{
        reply->next = NULL;
        *call->outbox_end = reply;
        call->outbox_end = &reply->next;
        call->outbox_bytes += reply->size + CALL_REPLY_OVERHEAD;
        call->replies++;
}

struct reply *call_take_reply(struct brick_call *call)
{
        struct reply *reply = call->outbox;

        if (reply) {
                call->outbox = reply->next;
                if (!call->outbox)
                        call->outbox_end = &call->outbox;
        }
        return reply;
}

void call_sent(struct brick_call *call, size_t size)
{
        call->outbox_bytes -= size + CALL_REPLY_OVERHEAD;
        if (!call->starved || call->outbox_bytes > call->window / 2)
                return;

        call->starved = false;
        if (call->instance->blocking)
                (void)pthread_cond_broadcast(&call->changed);
        else
                call->writable_due = true;
}

void call_drop_replies(struct brick_call *call)
{
        struct reply *reply;

        while ((reply = call_take_reply(call))) {
                call->outbox_bytes -= reply->size + CALL_REPLY_OVERHEAD;
                call->transport->reply_free(call, reply);
        }
}

/* --- what the brick calls ------------------------------------------------------------------- */

struct brick_bytes call_abi_request(struct brick_call *call)
{
        return call->request;
}

int call_abi_metadata_at(struct brick_call *call, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value)
{
        return call->transport->metadata(call, index, ret_key, ret_value);
}

static bool is_key(struct brick_str key, const char *wanted, size_t length)
{
        return key.len == length && memcmp(key.ptr, wanted, length) == 0;
}

struct brick_str call_abi_metadata(struct brick_call *call, const char *key)
{
        size_t length = strlen(key);
        struct brick_str k, v;

        for (size_t i = 0; call->transport->metadata(call, i, &k, &v); i++)
                if (is_key(k, key, length))
                        return v;
        return (struct brick_str){};
}

/* Of two, nobody can tell which is right: then there is none. */
bool call_caller_trace(struct brick_call *call, struct trace_context *ret)
{
        struct brick_str key, value, found = {};

        for (size_t i = 0; call->transport->metadata(call, i, &key, &value); i++)
                if (is_key(key, "traceparent", 11)) {
                        if (found.ptr)
                                return false;
                        found = value;
                }
        return found.ptr && trace_parse(found.ptr, found.len, ret);
}

bool call_trace(struct brick_call *call, struct trace_context *ret)
{
        if (!call->span.tracer)
                return call_caller_trace(call, ret);
        *ret = call->span.context;
        return true;
}

struct brick_str call_abi_traceparent(struct brick_call *call)
{
        struct trace_context context;
        char *text;

        if (!call_trace(call, &context))
                return (struct brick_str){};
        text = arena_alloc(&call->arena, TRACE_PARENT_LENGTH, 1);
        if (!text)
                return (struct brick_str){};
        trace_put_parent(&context, text);
        return (struct brick_str){ text, TRACE_PARENT_LENGTH };
}

struct brick_str call_abi_tracestate(struct brick_call *call)
{
        struct brick_str key, value;
        struct trace_context context;
        size_t used = 0;
        char *state;

        if (!call_caller_trace(call, &context))
                return (struct brick_str){};
        state = arena_alloc(&call->arena, TRACE_STATE_MAX, 1);
        for (size_t i = 0; state && call->transport->metadata(call, i, &key, &value); i++)
                if (is_key(key, "tracestate", 10))
                        used = trace_add_state(state, used, value.ptr, value.len);
        return used > 0 ? (struct brick_str){ state, used } : (struct brick_str){};
}

struct brick_str call_abi_peer(struct brick_call *call)
{
        return call->transport->peer(call);
}

struct brick_str call_abi_identity(struct brick_call *call)
{
        return call->identity;
}

uint64_t call_abi_deadline(struct brick_call *call)
{
        return call->deadline;
}

int call_abi_cancelled(struct brick_call *call)
{
        return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

void *call_abi_alloc(struct brick_call *call, size_t size, size_t align)
{
        return arena_alloc(&call->arena, size, align);
}

void call_abi_set_data(struct brick_call *call, void *data, void (*destroy)(void *data))
{
        call->data = data;
        call->destroy = destroy;
}

void *call_abi_data(struct brick_call *call)
{
        return call->data;
}

void call_abi_recv(struct brick_call *call)
{
        if (!call_has_request_stream(call) || call->instance->blocking) {
                misuse(call, "called call_recv() on a call that delivers no messages");
                return;
        }

        lock(call);
        switch (call->inbox) {
        case INBOX_IDLE:
                want_message(call);
                break;
        case INBOX_HELD:
                call->receive_due = true;
                break;
        case INBOX_END:
                call->message_due = true;
                break;
        case INBOX_WANTED:
        case INBOX_READY:
                break;
        }
        call_enter_due(call);
        unlock(call);
}

int call_abi_read(struct brick_call *call, struct brick_bytes *ret)
{
        int r;

        if (!call_has_request_stream(call) || !call->instance->blocking) {
                misuse(call,
                       "called call_read(), which is for blocking bricks and request streams");
                return -ENOTSUP;
        }

        lock(call);
        if (call->inbox == INBOX_HELD) {
                call->transport->release(call);
                call->inbox = INBOX_IDLE;
        }
        if (call->inbox == INBOX_IDLE)
                want_message(call);
        /* Bounded: the deadline, the peer's death and a stop cancel the call. */
        while (call->inbox == INBOX_WANTED && call->phase == CALL_RUNNING &&
               !atomic_load(&call->cancelled))
                (void)pthread_cond_wait(&call->changed, &call->lock);

        if (call->inbox == INBOX_READY) {
                call->inbox = INBOX_HELD;
                *ret = call->message;
                r = 1;
        } else {
                r = call->inbox == INBOX_END && !atomic_load(&call->cancelled) ? 0 : -ECANCELED;
        }
        unlock(call);
        return r;
}

/* Lock held. May the brick send n bytes now? 0, or what call_send() says. */
static int room_for(struct brick_call *call, size_t n)
{
        if (call->phase == CALL_FINISHED || atomic_load(&call->cancelled))
                return -ECANCELED;
        if (n > call->max_reply)
                return -EMSGSIZE;
        if (call_is_single(call))
                return call->replies > 0 ? -EINVAL : 0;
        if (call->outbox_bytes > 0 && call->outbox_bytes + n > call->window)
                return -EAGAIN;
        return 0;
}

/* Not two at once: see call_reserve() in brick.h. */
static int reserve(struct brick_call *call, size_t size, struct reply **ret)
{
        struct reply *reply;
        int r;

        lock(call);
        while ((r = room_for(call, size)) == -EAGAIN) {
                call->starved = true;
                if (!call->instance->blocking)
                        break;
                (void)pthread_cond_wait(&call->changed, &call->lock);
        }
        unlock(call);

        if (r == -EINVAL)
                misuse(call, "sent more than one reply to a call that has one");
        else if (r == -ECANCELED && atomic_load(&call->finish_claimed))
                misuse(call, "sent on a call that it had finished");
        if (r < 0)
                return r;

        reply = call->transport->reply_new(call, size);
        if (!reply)
                return -ENOMEM;
        *ret = reply;
        return 0;
}

static int commit(struct brick_call *call, struct reply *reply)
{
        int r;

        lock(call);
        r = room_for(call, 0);
        if (r == 0 || r == -EAGAIN)
                r = call->transport->reply_seal(call, reply);
        if (r == -EBADMSG) {
                struct outcome outcome = outcome_invalid_reply(call->method, call->instance->type);

                misuse(call, "sent a reply that is not of its type");
                atomic_store(&call->cancelled, true);
                call_settle(call, &outcome);
        }
        if (r < 0) {
                call->transport->reply_free(call, reply);
        } else {
                call_push_reply(call, reply);
                if (!call_gathers(call))
                        call->transport->pump(call);
        }
        call_enter_due(call);
        unlock(call);
        return r;
}

int call_abi_send(struct brick_call *call, struct brick_bytes message)
{
        struct reply *reply;
        int r;

        r = reserve(call, message.len, &reply);
        if (r < 0)
                return r;
        if (message.len > 0)
                memcpy(reply->data, message.ptr, message.len);
        return commit(call, reply);
}

void *call_abi_reserve(struct brick_call *call, size_t size)
{
        if (call->reserved) {
                call->transport->reply_free(call, call->reserved);
                call->reserved = NULL;
        }
        return reserve(call, size, &call->reserved) < 0 ? NULL : call->reserved->data;
}

int call_abi_commit(struct brick_call *call, size_t size)
{
        struct reply *reply = TAKE_PTR(call->reserved);

        if (!reply || size > reply->size) {
                misuse(call, "committed more than it had reserved");
                if (reply)
                        call->transport->reply_free(call, reply);
                return -EINVAL;
        }
        reply->size = size;
        return commit(call, reply);
}

int call_abi_trailer(struct brick_call *call, struct brick_str key, struct brick_str value)
{
        int r;

        lock(call);
        r = call->phase == CALL_FINISHED ? -ECANCELED : call->transport->trailer(call, key, value);
        unlock(call);
        return r;
}

void call_abi_finish(struct brick_call *call, uint32_t status, struct brick_str reason)
{
        const struct outcome outcome = {
                .status = status <= STATUS_MAX ? status : STATUS_UNKNOWN,
                .message = reason,
        };

        finish(call, outcome);
}

void call_abi_fail(struct brick_call *call, int32_t code, struct brick_str message,
                   struct brick_str detail)
{
        struct outcome outcome = {
                .in_band = true, .code = code, .message = message, .detail = detail
        };

        /* 200 is success: with it a client would take the empty payload for an answer. */
        if (code == 200)
                outcome = outcome_invalid_reply(call->method, call->instance->type);
        finish(call, outcome);
}

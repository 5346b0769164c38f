/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "module/call-abi.h"
#include "module/call.h"
#include "module/groups.h"
#include "module/instance.h"

__attribute__((cold, noinline)) static void blame(struct brick_call *handle, const char *what)
{
        instance_blame(instance_of_number(handle_owner(handle)), what);
}

/* The call of a handle. NULL: the brick has finished it; logs what the brick does all the same. */
static inline struct call *find(struct brick_call *handle, const char *what)
{
        struct call *call = handle_find(handle);

        if (!call)
                blame(handle, what);
        return call;
}

#define USED "used a call that it had finished"
#define SENT "sent on a call that it had finished"
#define FINISHED "finished a call twice"

/* --- what a call carries ---------------------------------------------------------------------- */

struct brick_bytes call_abi_request(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? call->request : (struct brick_bytes){};
}

int call_abi_metadata_at(struct brick_call *handle, size_t index, struct brick_str *ret_key,
                         struct brick_str *ret_value)
{
        struct call *call = find(handle, USED);

        return call && call->transport->metadata(call, index, ret_key, ret_value);
}

struct brick_str call_abi_metadata(struct brick_call *handle, const char *key)
{
        struct call *call = find(handle, USED);

        return call ? call_metadata(call, key) : (struct brick_str){};
}

struct brick_str call_abi_peer(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? call->transport->peer(call) : (struct brick_str){};
}

struct brick_str call_abi_identity(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? call->identity : (struct brick_str){};
}

struct brick_str call_abi_group(struct brick_call *handle, size_t index)
{
        struct call *call = find(handle, USED);

        return call && call->groups && index < call->groups->n ? call->groups->names[index]
                                                               : (struct brick_str){};
}

uint64_t call_abi_deadline(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? call->deadline : 0;
}

/* Logs nothing for a finished call: a thread of the brick may ask in a loop. */
int call_abi_cancelled(struct brick_call *handle)
{
        struct call *call = handle_find(handle);

        return !call || atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

struct brick_str call_abi_traceparent(struct brick_call *handle)
{
        struct call *call = find(handle, USED);
        struct trace_context context;
        char *text;

        if (!call || !call_trace(call, &context))
                return (struct brick_str){};
        text = arena_alloc(&call->arena, TRACE_PARENT_LENGTH, 1);
        if (!text)
                return (struct brick_str){};
        trace_put_parent(&context, text);
        return (struct brick_str){ text, TRACE_PARENT_LENGTH };
}

struct brick_str call_abi_tracestate(struct brick_call *handle)
{
        struct call *call = find(handle, USED);
        struct brick_str key, value;
        struct trace_context context;
        size_t used = 0;
        char *state;

        if (!call || !call_caller_trace(call, &context))
                return (struct brick_str){};
        state = arena_alloc(&call->arena, TRACE_STATE_MAX, 1);
        for (size_t i = 0; state && call->transport->metadata(call, i, &key, &value); i++)
                if (call_is_key(key, "tracestate", 10))
                        used = trace_add_state(state, used, value.ptr, value.len);
        return used > 0 ? (struct brick_str){ state, used } : (struct brick_str){};
}

void *call_abi_alloc(struct brick_call *handle, size_t size, size_t align)
{
        struct call *call = find(handle, USED);

        return call ? arena_alloc(&call->arena, size, align) : NULL;
}

size_t call_abi_mark(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? arena_mark(&call->arena) : 0;
}

void call_abi_rewind(struct brick_call *handle, size_t mark)
{
        struct call *call = find(handle, USED);

        if (call && arena_rewind(&call->arena, mark) < 0)
                call_misuse(call,
                            "called call_rewind() with a mark that call_mark() has not given");
}

void call_abi_set_data(struct brick_call *handle, void *data, void (*destroy)(void *data))
{
        struct call *call = find(handle, USED);

        if (!call)
                return;
        call->data = data;
        call->destroy = destroy;
}

void *call_abi_data(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        return call ? call->data : NULL;
}

/* --- request messages ------------------------------------------------------------------------- */

void call_abi_recv(struct brick_call *handle)
{
        struct call *call = find(handle, USED);

        if (!call)
                return;
        if (!call_has_request_stream(call) || call->instance->blocking) {
                call_misuse(call, "called call_recv() on a call that delivers no messages");
                return;
        }

        call_lock(call);
        switch (call->inbox) {
        case INBOX_IDLE:
                call_want_message(call);
                break;
        case INBOX_HELD:
                call->receive_due = true;
                break;
        case INBOX_END:
                call_post(call, DUE_MESSAGE);
                break;
        case INBOX_WANTED:
        case INBOX_READY:
                break;
        }
        /* From here on message() may finish the call on another thread: do not touch it. */
        call_unlock(call);
}

int call_abi_read(struct brick_call *handle, struct brick_bytes *ret)
{
        struct call *call = find(handle, USED);
        int r;

        if (!call)
                return -ECANCELED;
        if (!call_has_request_stream(call) || !call->instance->blocking) {
                call_misuse(call,
                            "called call_read(), which is for blocking bricks and request streams");
                return -ENOTSUP;
        }

        call_lock(call);
        if (call->inbox == INBOX_HELD) {
                call->transport->release(call);
                call->inbox = INBOX_IDLE;
        }
        if (call->inbox == INBOX_IDLE)
                call_want_message(call);
        /* Ends at the latest when the deadline, a disconnect or a stop cancels the call. */
        while (call->inbox == INBOX_WANTED && !call->settled && !atomic_load(&call->cancelled))
                (void)pthread_cond_wait(&call->changed, &call->lock);

        if (call->inbox == INBOX_READY) {
                call->inbox = INBOX_HELD;
                *ret = call->message;
                r = 1;
        } else {
                r = call->inbox == INBOX_END && !atomic_load(&call->cancelled) ? 0 : -ECANCELED;
        }
        call_unlock(call);
        return r;
}

/* --- replies ---------------------------------------------------------------------------------- */

int call_room(struct call *call, size_t n)
{
        if (call->settled || atomic_load(&call->cancelled))
                return -ECANCELED;
        if (n > call->max_reply)
                return -EMSGSIZE;
        if (call_is_single(call))
                return call->replies > 0 ? -EINVAL : 0;
        if (call->outbox_bytes > 0 && call->outbox_bytes + n > call->window)
                return -EAGAIN;
        return 0;
}

/* Memory for one reply. Only one thread at a time: see call_reserve() in brick.h. */
static int reserve(struct call *call, size_t size, struct reply **ret)
{
        struct reply *reply;
        bool done;
        int r;

        call_lock(call);
        while ((r = call_room(call, size)) == -EAGAIN && call_is_bricks(call)) {
                call->starved = true;
                if (!call->instance->blocking)
                        break;
                (void)pthread_cond_wait(&call->changed, &call->lock);
        }
        done = !call_is_bricks(call);
        call_unlock(call);

        if (r == -EINVAL)
                call_misuse(call, "sent more than one reply to a call that has one");
        else if (done)
                call_misuse(call, SENT);
        if (done)
                return -ECANCELED;
        if (r < 0)
                return r;

        reply = call->transport->reply_new(call, size);
        if (!reply)
                return -ENOMEM;
        *ret = reply;
        return 0;
}

int call_commit(struct call *call, struct reply *reply)
{
        int r;

        call_lock(call);
        r = call_room(call, 0);
        if (r == 0 || r == -EAGAIN)
                r = call->transport->reply_seal(call, reply);
        if (r < 0 && outcome_reply_fault(r)) {
                struct outcome outcome = outcome_invalid_reply(call->method, call->instance->type);

                call_overrule(call, &outcome);
        } else if (r == -ENOBUFS) {
                struct outcome outcome = outcome_unread();

                call_overrule(call, &outcome);
                r = -ECANCELED;
        }
        if (r < 0) {
                call->transport->reply_free(call, reply);
        } else {
                call_push_reply(call, reply);
                if (!call_gathers(call))
                        call->transport->pump(call);
        }
        call_unlock(call);
        return r;
}

static int commit_or_blame(struct call *call, struct reply *reply)
{
        struct instance *instance = call->instance;
        int r = call_commit(call, reply);

        if (r < 0 && outcome_reply_fault(r))
                instance_blame(instance, outcome_reply_fault(r));
        return r;
}

int call_abi_send(struct brick_call *handle, struct brick_bytes message)
{
        struct call *call = find(handle, SENT);
        struct reply *reply;
        int r;

        if (!call)
                return -ECANCELED;
        r = reserve(call, message.len, &reply);
        if (r < 0)
                return r;
        if (message.len > 0)
                memcpy(reply->data, message.ptr, message.len);
        return commit_or_blame(call, reply);
}

void *call_abi_reserve(struct brick_call *handle, size_t size)
{
        struct call *call = find(handle, SENT);

        if (!call)
                return NULL;
        if (call->reserved) {
                call->transport->reply_free(call, call->reserved);
                call->reserved = NULL;
        }
        return reserve(call, size, &call->reserved) < 0 ? NULL : call->reserved->data;
}

int call_abi_commit(struct brick_call *handle, size_t size)
{
        struct call *call = find(handle, SENT);
        struct reply *reply;

        if (!call)
                return -ECANCELED;
        reply = TAKE_PTR(call->reserved);
        if (!reply || size > reply->size) {
                call_misuse(call, "committed more than it had reserved");
                if (reply)
                        call->transport->reply_free(call, reply);
                return -EINVAL;
        }
        reply->size = size;
        return commit_or_blame(call, reply);
}

/* --- the end ---------------------------------------------------------------------------------- */

int call_abi_trailer(struct brick_call *handle, struct brick_str key, struct brick_str value)
{
        struct call *call = find(handle, USED);
        int r;

        if (!call)
                return -ECANCELED;
        call_lock(call);
        r = call->settled ? -ECANCELED : call->transport->trailer(call, key, value);
        call_unlock(call);
        return r;
}

void call_abi_finish(struct brick_call *handle, uint32_t status, struct brick_str reason)
{
        const struct outcome outcome = {
                .status = status <= STATUS_MAX ? status : STATUS_UNKNOWN,
                .message = reason,
        };
        struct call *call = find(handle, FINISHED);

        if (call)
                call_finish(call, &outcome);
}

void call_abi_fail(struct brick_call *handle, int32_t code, struct brick_str message,
                   struct brick_str detail)
{
        struct outcome outcome = {
                .in_band = true, .code = code, .message = message, .detail = detail
        };
        struct call *call = find(handle, FINISHED);

        if (!call)
                return;
        /* A client would take the empty payload for an answer. */
        if (code == 200) {
                call_misuse(call, "failed a call with the code 200, which means success");
                outcome = outcome_invalid_reply(call->method, call->instance->type);
        }
        call_finish(call, &outcome);
}

void call_abi_fail_errno(struct brick_call *handle, int r)
{
        struct call *call = find(handle, FINISHED);
        struct outcome outcome;

        if (!call)
                return;
        if (r >= 0)
                call_misuse(call, "called call_fail_errno() with a number that is not a negative "
                                  "errno");
        outcome = call_outcome_errno(call, r);
        call_finish(call, &outcome);
}

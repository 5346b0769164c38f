/* SPDX-License-Identifier: MIT */
#include "module/call.h"
#include "module/entry.h"
#include "module/instance.h"
#include "module/relay.h"
#include "module/timer.h"
#include "util/clock.h"

void call_post(struct call *call, unsigned due)
{
        call->due |= due;
        /* After an entry, `due` is checked again. */
        if (call->posted || call->side == SIDE_STARTING || call->side == SIDE_ENTERED ||
            call->side == SIDE_DONE)
                return;
        call->posted = true;
        call_ref(call);
        runner_post(call->runner, &call->entries);
}

void call_choose_runner(struct call *call)
{
        call->runner = instance_runner_for(call->instance, call->request.len);
}

void call_note_time(struct call *call, uint64_t held)
{
        int64_t limit = call->instance->limits.hold;

        if (limit > 0 && held >= (uint64_t)limit && !call->instance->blocking)
                instance_took_long(call->instance, call->request.len, held);
}

void call_post_start(struct call *call)
{
        call_lock(call);
        call_post(call, DUE_START);
        call_unlock(call);
}

/* Lock held. The brick has returned from an entry, at the begin of which side was `entered`.
 * False: the brick has finished the call, whose name is void from now on. */
static bool leave(struct call *call, enum call_side entered)
{
        if (call->side == entered) {
                call->side = SIDE_IDLE;
                return true;
        }
        handle_void(call->slot);
        call->left = true;
        call_forget(call);
        return false;
}

/* Makes the call the brick's, unless it has been settled or cancelled while it waited. */
static bool give(struct call *call)
{
        bool given;

        call_lock(call);
        given = !call->settled && !atomic_load_explicit(&call->cancelled, memory_order_relaxed);
        if (given) {
                call->side = SIDE_STARTING;
                call->handle = handle_make(call->slot, call->instance->number);
                if (call->timed)
                        call->given_at = clock_now();
                call_ref(call); /* the brick's */
                if (call->instance->blocking)
                        call->transport->pump(call);
        }
        call_unlock(call);
        return given;
}

/* start() has returned an error: finishes the call, unless start() has done so as well. */
static void finish_refused(struct call *call, int r)
{
        struct outcome outcome;
        bool has_it;

        call_lock(call);
        has_it = call->side == SIDE_STARTING;
        call_unlock(call);
        if (!has_it)
                return;
        if (r > 0)
                call_misuse(call, "returned a positive number from start() (to answer with an "
                                  "error code, use brick_fail() or call_fail())");
        outcome = call_outcome_errno(call, r);
        call_finish(call, &outcome);
}

void call_start(struct call *call)
{
        struct instance *instance = call->instance;
        struct entry entry;
        int r;

        if (!give(call)) {
                struct outcome outcome = outcome_cancelled();

                instance_vacate(instance);
                call_refuse(call, &outcome);
                instance_release(instance, call);
                return;
        }

        call_ref(call); /* for this function */
        entry_begin(&entry, instance);
        r = instance->brick->start(instance->self, call->handle, call->method);
        call_note_time(call, entry_end(&entry, instance));
        if (r < 0 || r > 1) /* 1 is the SDK's BRICK_TAKEN */
                finish_refused(call, r);

        call_lock(call);
        if (leave(call, SIDE_STARTING)) {
                if (!instance->blocking)
                        call->transport->pump(call);
                if (call->due != 0)
                        call_post(call, 0);
        }
        call_unlock(call);
        call_unref(call);
}

void call_want_message(struct call *call)
{
        call->inbox = INBOX_WANTED;
        if (!call->settled && !atomic_load(&call->cancelled))
                call->transport->receive(call);
        else
                call_deliver(call, NULL);
}

/* The enter_*() functions are called with the lock held, and release it while the brick runs. */

static void enter_cancel(struct call *call)
{
        struct instance *instance = call->instance;
        struct entry entry;

        call_unlock(call);
        entry_begin(&entry, instance);
        instance->brick->cancel(instance->self, call->handle);
        call_note_time(call, entry_end(&entry, instance));
        call_lock(call);
}

static void enter_message(struct call *call)
{
        struct instance *instance = call->instance;
        struct brick_bytes message = call->message;
        bool end = call->inbox == INBOX_END;
        struct entry entry;

        if (!end)
                call->inbox = INBOX_HELD;
        call_unlock(call);
        entry_begin(&entry, instance);
        instance->brick->message(instance->self, call->handle, end ? NULL : &message);
        call_note_time(call, entry_end(&entry, instance));
        call_lock(call);
        if (end)
                return;

        call->transport->release(call);
        call->inbox = INBOX_IDLE;
        if (call->receive_due) {
                call->receive_due = false;
                call_want_message(call);
        }
}

static void enter_writable(struct call *call)
{
        struct instance *instance = call->instance;
        struct entry entry;

        if (!instance->brick->writable)
                return;
        call_unlock(call);
        entry_begin(&entry, instance);
        instance->brick->writable(instance->self, call->handle);
        call_note_time(call, entry_end(&entry, instance));
        call_lock(call);
}

/* Lock held. Makes each entry that is due now, once. What becomes due meanwhile is queued again, so
 * that other calls have their turns before. */
static void enter(struct call *call)
{
        unsigned due = call->due;

        call->due = 0;
        call->side = SIDE_ENTERED;
        if (due & DUE_CANCEL)
                enter_cancel(call);
        if (due & DUE_MESSAGE && call->side == SIDE_ENTERED)
                enter_message(call);
        if (due & DUE_WRITABLE && call->side == SIDE_ENTERED)
                enter_writable(call);
        if (due & DUE_TIMER && call->side == SIDE_ENTERED)
                timers_enter(call);
        if (leave(call, SIDE_ENTERED) && call->due != 0)
                call_post(call, 0);
}

void call_run_entries(struct run_item *item)
{
        struct call *call = CONTAINER_OF(item, struct call, entries);
        bool start;

        call_lock(call);
        call->posted = false;
        start = call->due & DUE_START;
        if (start)
                call->due = 0;
        else if (call->side == SIDE_IDLE && call->due != 0)
                enter(call);
        else if (call->side == SIDE_RELAYED)
                relay_step(call);
        call_unlock(call);
        if (start)
                call_start(call);
        call_unref(call);
}

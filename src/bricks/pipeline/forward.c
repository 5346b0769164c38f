/* SPDX-License-Identifier: MIT */

/*
 * The last step of a pipeline of its own type. brickd itself relays the replies as soon as nothing
 * has to be done any more if the brick fails: at once, or after the first reply.
 */

#include "ask.h"
#include "buffer.h"
#include "explain.h"
#include "step.h"

struct forward {
        struct run *run;
        const struct step *step;
        struct ask *ask;
        bool replied;       /* no other brick can take over */
        bool ended;         /* the brick has */
        struct buffer held; /* a reply that waits for room */
        bool waits;
};

static bool can_relay(const struct forward *forward)
{
        const struct step *step = forward->step;

        if (forward->run->explained)
                return false;
        if (forward->replied)
                return forward->run->streams;
        return step->n_targets == 1 && step->on_error == ERROR_FAIL;
}

/* Leaves the rest to brickd. */
static bool relay(struct forward *forward)
{
        struct run *run = forward->run;

        if (!can_relay(forward) || brick_host->call_relay(run->call, forward->ask->child) < 0)
                return false;
        run->over = true;
        return true;
}

static void finish(struct forward *forward)
{
        run_over(forward->run);
        brick_finish(forward->run->call);
}

/* r: of a send. */
static void sent(struct forward *forward, int r)
{
        if (r == -ECANCELED) {
                run_cancelled(forward->run);
        } else if (r < 0) {
                run_fail_errno(forward->run, r);
        } else {
                forward->replied = true;
                if (forward->ended)
                        finish(forward);
                else if (!relay(forward))
                        ask_next(forward->ask);
        }
}

/* Of the first reply: another brick may still take over. */
static bool is_readable(const struct forward *forward, struct brick_bytes message)
{
        void *reply;

        if (forward->replied)
                return true;
        reply = brick_unpack_heap(forward->step->map->reply, message);
        brick_unpacked_free(reply);
        return reply;
}

static void on_reply(struct ask *ask, struct brick_bytes message)
{
        struct forward *forward = ask->user;
        int r;

        if (!is_readable(forward, message)) {
                ask_cancel(ask);
                step_failed_reply(forward->run, forward->step);
                return;
        }
        explain_reply(forward->run, forward->step, message);
        r = brick_host->call_send(forward->run->call, message);
        if (r == -EAGAIN) {
                forward->waits = true;
                forward->run->waiting = forward->step;
                r = buffer_add(&forward->held, message.ptr, message.len);
                if (r == 0)
                        return;
        }
        sent(forward, r);
}

void forward_writable(struct forward *forward)
{
        const struct brick_bytes message = { forward->held.ptr, forward->held.len };
        int r;

        if (!forward->waits)
                return;
        r = brick_host->call_send(forward->run->call, message);
        if (r == -EAGAIN) {
                forward->run->waiting = forward->step;
                return;
        }
        forward->waits = false;
        forward->held.len = 0;
        sent(forward, r);
}

static void on_done(struct ask *ask, const struct brick_outcome *outcome)
{
        struct forward *forward = ask->user;
        struct run *run = forward->run;
        bool failed = outcome->status != 0 || outcome->code != 200;

        forward->ended = true;
        if (failed && !forward->replied && !forward->waits) {
                step_failed(run, forward->step, outcome);
        } else if (failed) {
                run_over(run);
                (void)brick_fail_as(run->call, outcome);
        } else if (!forward->waits) {
                finish(forward);
        }
}

int forward_begin(struct run *run, const struct step *step, const ProtobufCMessage *request)
{
        struct brick_target *target = step->targets[state_of(run, step)->attempt];
        bool stream = run->streams &&
                      brick_host->target_methods(target) & 1u << BRICK_METHOD_OUTPUT_STREAMING;
        struct forward *forward = calloc(1, sizeof *forward);
        const struct ask what = {
                .run = run, .step = step, .message = on_reply, .done = on_done, .user = forward
        };
        int r;

        if (!forward)
                return -ENOMEM;
        forward_free(state_of(run, step)->forward); /* of the brick that has failed */
        state_of(run, step)->forward = forward;
        forward->run = run;
        forward->step = step;
        r = ask_start(&forward->ask, &what, target,
                      stream ? BRICK_METHOD_OUTPUT_STREAMING : BRICK_METHOD_UNARY, request);
        if (r == 0 && !relay(forward))
                ask_next(forward->ask);
        return r;
}

void forward_free(struct forward *forward)
{
        if (!forward)
                return;
        buffer_done(&forward->held);
        free(forward);
}

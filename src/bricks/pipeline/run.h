/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call of a pipeline. All its entries run one after the other, as brick.h says of a call that
 * does not block: nothing here has a lock.
 *
 * A run starts a step and those behind it, until one of them waits for a brick. That one then
 * ends by step_done() or step_failed(), or by ending the call. Once the call is ended, `over` is
 * set: what still comes from bricks is ignored, and the call and its memory are not used again.
 */

#include "mask.h"
#include "plan.h"

struct stream;
struct judging;
struct forward;
struct explained;

/* The text and the data that a step reads and replaces; each step of `parallel` has its own. */
struct branch {
        const char *text; /* in the memory of the call */
        const Struct *data;
};

struct step_state {
        size_t attempt; /* of the step's targets */
        size_t pending; /* STEP_PARALLEL: inner steps that still run */
        struct stream *stream;
        struct judging *judging;
        struct forward *forward;
};

struct run {
        const struct plan *plan;
        struct brick_call *call;
        const ProtobufCMessage *request;
        bool streams; /* the caller takes a stream of replies */
        bool over;

        struct mask mask;
        struct branch *branches;
        struct step_state *states;   /* by step->index */
        struct expr_value *values;   /* VALUE_*, step->value */
        struct explained *explained; /* by step->index; NULL: nobody asks */
        const struct step *waiting;  /* the step whose reply waits for room */
};

/* Takes a call: the result of start(). */
int run_start(const struct plan *plan, struct brick_call *call, uint32_t method);

static inline struct step_state *state_of(struct run *run, const struct step *step)
{
        return &run->states[step->index];
}

static inline struct branch *branch_of(struct run *run, const struct step *step)
{
        return &run->branches[step->branch];
}

/* Counts what a guard that only observes has found; the number so far. */
static inline unsigned long run_observed(const struct run *run, const struct step *step)
{
        return 1 + atomic_fetch_add_explicit(&run->plan->observed[step->index], 1,
                                             memory_order_relaxed);
}

/* What a step has replied; NULL: it has not run, or has failed and was skipped. */
const ProtobufCMessage *run_value(struct run *run, const struct step *step);
void run_set_value(struct run *run, const struct step *step, const ProtobufCMessage *value);

/* A step that has waited is done: go on. */
void step_done(struct run *run, const struct step *step);

/* A brick has failed: ask the next one, or do what `on_error` says. */
void step_failed(struct run *run, const struct step *step, const struct brick_outcome *outcome);

/* The same for a failure of the pipeline's own, such as -ENOMEM. */
void step_failed_errno(struct run *run, const struct step *step, int r);

/* The same for a reply that cannot be unpacked. */
void step_failed_reply(struct run *run, const struct step *step);

/* Evaluates a template or an expression for a step. Ends the call and returns a negative errno if
 * that fails. */
int run_evaluate(struct run *run, const struct step *step, const struct expr *expr,
                 struct expr_value *ret);

/* A text that lives as long as the call. NULL: out of memory. */
const char *run_text(struct run *run, const struct expr_value *value);

/* ---- ends of the call -------------------------------------------------------------------- */

/* Marks the call as ended and frees what must not outlive it. The caller then ends it. */
void run_over(struct run *run);

void run_fail(struct run *run, int32_t code, const char *message, const struct step *step,
              const char *detail);
void run_fail_errno(struct run *run, int r);
void run_cancelled(struct run *run);

/* Sends the only reply, and ends the call with success. NULL: out of memory. */
void run_reply(struct run *run, const ProtobufCMessage *reply);

/* Evaluates a step's `answer` and replies with it. */
void run_answer(struct run *run, const struct step *step);

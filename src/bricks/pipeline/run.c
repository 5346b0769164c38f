/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <string.h>

#include "ask.h"
#include "documents.h"
#include "explain.h"
#include "judge.h"
#include "step.h"
#include "stream.h"

#define STATUS_CANCELLED 1

/* ---- values -----------------------------------------------------------------------------------
 */

const ProtobufCMessage *run_value(struct run *run, const struct step *step)
{
        return step->kind == STEP_CALL ? run->values[step->value].message : NULL;
}

void run_set_value(struct run *run, const struct step *step, const ProtobufCMessage *value)
{
        run->values[step->value] = expr_message(value);
}

static void *alloc(void *user, size_t size)
{
        return brick_alloc(user, size);
}

int run_evaluate(struct run *run, const struct step *step, const struct expr *expr,
                 struct expr_value *ret)
{
        const struct expr_run what = { .values = run->values, .alloc = alloc, .user = run->call };
        struct expr_mistake mistake;
        int r;

        run->values[VALUE_TEXT] = expr_text(branch_of(run, step)->text);
        r = expr_run(expr, &what, ret, &mistake);
        if (r == -EINVAL || r == -E2BIG) {
                brick_logf(brick_host, run->plan->ctx, BRICK_LOG_WARNING,
                           "step '%s': line %u, column %u: %s", step->name ? step->name : "",
                           mistake.line, mistake.column, mistake.text);
                run_fail(run, BRICK_E_INTERNAL, mistake.text, step, NULL);
        } else if (r < 0) {
                run_fail_errno(run, r);
        }
        return r;
}

const char *run_text(struct run *run, const struct expr_value *value)
{
        return brick_strndup(run->call, value->text, value->n);
}

/* ---- ends -------------------------------------------------------------------------------------
 */

void run_over(struct run *run)
{
        explain_send(run);
        for (unsigned i = 0; i < run->plan->n_steps; i++)
                if (run->states[i].stream)
                        stream_close(run->states[i].stream);
        run->over = true;
}

/* "step 'shield'", and the detail behind it. */
BRICK_PRINTF(2, 3)
static void name_step(struct brick_line *line, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        brick_line_format(line, format, args);
        va_end(args);
}

void run_fail(struct run *run, int32_t code, const char *message, const struct step *step,
              const char *detail)
{
        struct brick_line line;

        name_step(&line, "step '%s'%s%s", step->name ? step->name : "answer",
                  detail && detail[0] ? ": " : "", detail ? detail : "");
        run_over(run);
        brick_host->call_fail(run->call, code, brick_str(message), line.text);
        brick_line_free(&line);
}

void run_fail_errno(struct run *run, int r)
{
        run_over(run);
        brick_host->call_fail_errno(run->call, r);
}

void run_cancelled(struct run *run)
{
        run_over(run);
        brick_host->call_finish(run->call, STATUS_CANCELLED, brick_str(NULL));
}

void run_reply(struct run *run, const ProtobufCMessage *reply)
{
        run_over(run);
        if (reply)
                brick_reply(run->call, reply);
        else
                brick_host->call_fail_errno(run->call, -ENOMEM);
}

static void set_flag(ProtobufCMessage *reply, const char *name)
{
        const ProtobufCFieldDescriptor *field = field_named(reply->descriptor, name);

        if (field)
                *(protobuf_c_boolean *)field_place(reply, field) = 1;
}

static ProtobufCMessage *intention_of(struct run *run, const char *category)
{
        IntentionResponse *reply = BRICK_NEW(run->call, IntentionResponse);
        IntentionResult *result = reply ? brick_add(run->call, reply, results) : NULL;

        if (!result)
                return NULL;
        result->intent_category = (char *)category;
        result->confidence = 1;
        return &reply->base;
}

static void reply_text(struct run *run, const char *text)
{
        const struct type_map *map = run->plan->map;
        ProtobufCMessage *reply;

        if (map->makes == FLOW_INTENT) {
                run_reply(run, intention_of(run, text));
                return;
        }
        reply = brick_new(run->call, map->reply);
        if (reply) {
                field_set_pointer(reply, map->output, text);
                set_flag(reply, "is_final");
        }
        run_reply(run, reply);
}

void run_answer(struct run *run, const struct step *step)
{
        struct expr_value value;
        const char *text;

        if (run_evaluate(run, step, step->answer, &value) < 0)
                return;
        text = run_text(run, &value);
        if (text)
                reply_text(run, text);
        else
                run_fail_errno(run, -ENOMEM);
}

/* The reply of the last step of the pipeline's type that has run. */
static const ProtobufCMessage *last_value(struct run *run)
{
        const struct plan *plan = run->plan;

        for (unsigned i = plan->n_steps; i-- > 0;)
                if (plan->steps[i]->map == plan->map && run_value(run, plan->steps[i]))
                        return run_value(run, plan->steps[i]);
        return brick_new(run->call, plan->map->reply);
}

/* What the guards have found, though none has refused. */
static const ProtobufCMessage *all_verdicts(struct run *run)
{
        GuardResponse *reply = BRICK_NEW(run->call, GuardResponse);

        for (unsigned i = 0; reply && i < run->plan->n_steps; i++) {
                const GuardResponse *value = (const void *)run_value(run, run->plan->steps[i]);

                if (!value || run->plan->steps[i]->type != BRICK_TYPE_GUARD ||
                    run->plan->steps[i]->judge.observe)
                        continue;
                for (size_t j = 0; j < value->n_results; j++) {
                        GuardResult *result = brick_add(run->call, reply, results);

                        if (!result)
                                return NULL;
                        *result = *value->results[j];
                }
        }
        return reply ? &reply->base : NULL;
}

static uint64_t all_documents(const struct plan *plan)
{
        uint64_t bits = 0;

        for (unsigned i = 0; i < plan->n_steps; i++)
                if (plan->steps[i]->kind == STEP_CALL &&
                    plan->steps[i]->map->makes == FLOW_DOCUMENTS)
                        bits |= UINT64_C(1) << i;
        return bits;
}

static const ProtobufCMessage *found_documents(struct run *run)
{
        RetrievalResponse *reply = BRICK_NEW(run->call, RetrievalResponse);
        const RetrievalRequest *request = (const void *)run->request;

        if (!reply || documents_put(run, all_documents(run->plan), &reply->base) < 0)
                return NULL;
        if (request->max_results > 0 && reply->n_documents > (size_t)request->max_results)
                reply->n_documents = (size_t)request->max_results;
        return &reply->base;
}

static const ProtobufCMessage *made_data(struct run *run)
{
        ProtobufCMessage *reply = brick_new(run->call, run->plan->map->reply);

        if (reply && run->branches[0].data)
                field_set_pointer(reply, run->plan->map->output, run->branches[0].data);
        return reply;
}

/* Replies with what the steps have made. */
static void end(struct run *run)
{
        switch (run->plan->map->makes) {
        case FLOW_TEXT:
                reply_text(run, run->branches[0].text);
                break;
        case FLOW_INTENT:
                run_reply(run, last_value(run));
                break;
        case FLOW_VERDICT:
                run_reply(run, all_verdicts(run));
                break;
        case FLOW_DOCUMENTS:
                run_reply(run, found_documents(run));
                break;
        case FLOW_DATA:
                run_reply(run, made_data(run));
                break;
        }
}

/* ---- from step to step -------------------------------------------------------------------------
 */

/* The step to start after one that is done; NULL: others of a `parallel` still run, or the call has
 * been ended. */
static const struct step *after(struct run *run, const struct step *step)
{
        while (!step->next) {
                const struct step *parent = step->parent;

                if (!parent) {
                        end(run);
                        return NULL;
                }
                if (parent->kind == STEP_PARALLEL && --state_of(run, parent)->pending > 0)
                        return NULL;
                step = parent;
        }
        return step->next;
}

/* Whether the step runs; negative: the call has been ended. */
static int evaluate_when(struct run *run, const struct step *step)
{
        struct expr_value value;
        int r;

        if (!step->when)
                return 1;
        r = run_evaluate(run, step, step->when, &value);
        return r < 0 ? r : value.truth;
}

/* Starts a step and what follows it. NULL: nothing follows. */
static void go(struct run *run, const struct step *step);

/* Starts all; true if all have ended before the last one was started. */
static bool start_parallel(struct run *run, const struct step *step)
{
        struct step_state *state = state_of(run, step);

        state->pending = step->n_inner + 1;
        for (size_t i = 0; i < step->n_inner && !run->over; i++) {
                struct branch *branch = branch_of(run, step->inner[i]);

                *branch = *branch_of(run, step);
                go(run, step->inner[i]);
        }
        return !run->over && --state->pending == 0;
}

/* The step to start next; NULL: this one waits, or the call is over. */
static const struct step *begin(struct run *run, const struct step *step)
{
        int wanted = evaluate_when(run, step);

        if (wanted < 0)
                return NULL;
        if (!wanted)
                return step->otherwise ? step->otherwise->inner[0] : after(run, step);
        switch (step->kind) {
        case STEP_CALL:
                if (step_begin(run, step) == BEGUN_WAITS)
                        return NULL;
                explain_end(run, step);
                return after(run, step);
        case STEP_ANSWER:
                run_answer(run, step);
                return NULL;
        case STEP_PARALLEL:
                return start_parallel(run, step) ? after(run, step) : NULL;
        case STEP_SEQUENCE:
                return step->inner[0];
        }
        return NULL;
}

static void go(struct run *run, const struct step *step)
{
        while (step && !run->over)
                step = begin(run, step);
}

void step_done(struct run *run, const struct step *step)
{
        explain_end(run, step);
        go(run, after(run, step));
}

/* ---- failures ---------------------------------------------------------------------------------
 */

static void fail_as(struct run *run, const struct step *step, const struct brick_outcome *outcome)
{
        const struct brick_str *text = outcome->status != 0 ? &outcome->message : &outcome->detail;
        const char *brick = "", *quote = "", *end = ""; /* which one of a list */
        struct brick_line line;

        /* What brickd relays does not name the step either. */
        if (state_of(run, step)->forward) {
                run_over(run);
                (void)brick_fail_as(run->call, outcome);
                return;
        }
        if (step->n_targets > 1) {
                brick = brick_host->target_name(step->targets[state_of(run, step)->attempt]).ptr;
                quote = ", brick '";
                end = "'";
        }
        name_step(&line, "step '%s'%s%s%s%s%.*s", step->name, quote, brick, end,
                  text->len > 0 ? ": " : "", (int)text->len, text->ptr);
        run_over(run);
        if (outcome->status != 0)
                brick_host->call_finish(run->call, outcome->status, line.text);
        else
                brick_host->call_fail(run->call, outcome->code, outcome->message, line.text);
        brick_line_free(&line);
}

void step_failed(struct run *run, const struct step *step, const struct brick_outcome *outcome)
{
        struct step_state *state = state_of(run, step);

        if (brick_host->call_cancelled(run->call)) {
                run_cancelled(run);
                return;
        }
        explain_error(run, step, outcome->status != 0 ? (int)outcome->status : outcome->code,
                      outcome->message);
        if (state->attempt + 1 < step->n_targets) {
                state->attempt++;
                if (step_begin(run, step) == BEGUN_DONE)
                        step_done(run, step);
                return;
        }
        explain_end(run, step);
        switch (step->on_error) {
        case ERROR_FAIL:
                fail_as(run, step, outcome);
                break;
        case ERROR_SKIP:
                go(run, after(run, step));
                break;
        case ERROR_ANSWER:
                run_answer(run, step);
                break;
        }
}

static void failed_inside(struct run *run, const struct step *step, const char *message)
{
        const struct brick_outcome outcome = {
                .struct_size = sizeof outcome,
                .code = BRICK_E_INTERNAL,
                .message = brick_str(message),
                .detail = brick_str(""),
        };

        if (!run->over)
                step_failed(run, step, &outcome);
}

void step_failed_errno(struct run *run, const struct step *step, int r)
{
        failed_inside(run, step, strerror(-r));
}

void step_failed_reply(struct run *run, const struct step *step)
{
        failed_inside(run, step, "The reply cannot be read, or needs more memory than a call has.");
}

/* ---- the call -----------------------------------------------------------------------------------
 */

static void run_free(void *data)
{
        struct run *run = data;

        for (unsigned i = 0; i < run->plan->n_steps; i++) {
                stream_free(run->states[i].stream);
                judge_free(run->states[i].judging);
                forward_free(run->states[i].forward);
        }
        mask_done(&run->mask);
        free(run);
}

static struct run *run_new(const struct plan *plan, struct brick_call *call)
{
        size_t states = plan->n_steps * sizeof(struct step_state),
               values = plan->n_values * sizeof(struct expr_value),
               branches = plan->n_branches * sizeof(struct branch);
        struct run *run = calloc(1, sizeof *run + states + values + branches);

        if (!run)
                return NULL;
        run->plan = plan;
        run->call = call;
        run->states = (struct step_state *)(run + 1);
        run->values = (struct expr_value *)(run->states + plan->n_steps);
        run->branches = (struct branch *)(run->values + plan->n_values);
        for (unsigned i = 0; i < plan->n_values; i++)
                run->values[i] = expr_message(NULL);
        return run;
}

static void take_request(struct run *run)
{
        const void *input = field_pointer(run->request, run->plan->map->input);

        run->values[VALUE_REQUEST] = expr_message(run->request);
        if (run->plan->map->takes == FLOW_TEXT)
                run->branches[0].text = input;
        else if (run->plan->map->takes == FLOW_DATA)
                run->branches[0].data = input;
}

int run_start(const struct plan *plan, struct brick_call *call, uint32_t method)
{
        void *request;
        struct run *run;
        int r;

        r = brick_begin(call, plan->type, &request, NULL);
        if (r < 0)
                return r;
        run = run_new(plan, call);
        if (!run)
                return -ENOMEM;
        run->request = request;
        run->streams = method == BRICK_METHOD_OUTPUT_STREAMING;
        r = explain_start(run);
        if (r < 0) {
                free(run);
                return r;
        }
        take_request(run);
        brick_host->call_set_data(call, run, run_free);
        go(run, plan->root->inner[0]);
        return 0;
}

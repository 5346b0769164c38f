/* SPDX-License-Identifier: MIT */
#include "step.h"

#include <string.h>

#include "ask.h"
#include "documents.h"
#include "explain.h"
#include "judge.h"
#include "stream.h"

/* ---- the request ---------------------------------------------------------------------------- */

static void *alloc(void *user, size_t size)
{
        return brick_alloc(user, size);
}

static int apply(struct run *run, const struct step *step, const struct settings *settings,
                 ProtobufCMessage *message);

/* The kind of a Struct's value. */
static int set_key(struct run *run, const struct step *step, const struct setting *setting,
                   Struct *object)
{
        Value *value = brick_struct_add(run->call, object, setting->key);
        struct expr_value result;
        const char *text;
        int r;

        r = run_evaluate(run, step, setting->expr, &result);
        if (r < 0)
                return r;
        switch (result.kind) {
        case EXPR_BOOL:
                return brick_value_set_bool(value, result.truth);
        case EXPR_NUMBER:
                return brick_value_set_number(value, result.number);
        case EXPR_TEXT:
                text = run_text(run, &result);
                return text ? brick_value_set_string(value, text) : -ENOMEM;
        case EXPR_ANY:
        case EXPR_NULL:
        case EXPR_MESSAGE:
        case EXPR_LIST:
                break;
        }
        return value ? 0 : -ENOMEM; /* null */
}

static int set_maps(struct run *run, const struct step *step, const struct setting *setting,
                    ProtobufCMessage *message)
{
        const ProtobufCFieldDescriptor *field = setting->field;
        bool list = field->label == PROTOBUF_C_LABEL_REPEATED;
        ProtobufCMessage **items = brick_alloc(run->call, (setting->n_maps + 1) * sizeof *items);
        int r = 0;

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < setting->n_maps; i++) {
                items[i] = brick_new(run->call, field->descriptor);
                r = items[i] ? apply(run, step, &setting->maps[i], items[i]) : -ENOMEM;
        }
        if (list)
                *field_count(message, field) = setting->n_maps;
        field_set_pointer(message, field->name, list ? (void *)items : items[0]);
        return r;
}

static int set_field(struct run *run, const struct step *step, const struct setting *setting,
                     ProtobufCMessage *message)
{
        struct expr_value value;
        int r;

        r = run_evaluate(run, step, setting->expr, &value);
        if (r < 0)
                return r;
        return expr_set_field(message, setting->field, &value, alloc, run->call);
}

static int apply(struct run *run, const struct step *step, const struct settings *settings,
                 ProtobufCMessage *message)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < settings->n; i++) {
                const struct setting *setting = &settings->items[i];

                if (!setting->field)
                        r = set_key(run, step, setting, (Struct *)message);
                else if (setting->expr)
                        r = set_field(run, step, setting, message);
                else
                        r = set_maps(run, step, setting, message);
        }
        return r;
}

/* What the step takes by default. */
static int set_input(struct run *run, const struct step *step, ProtobufCMessage *request)
{
        const struct branch *branch = branch_of(run, step);

        switch (step->map->takes) {
        case FLOW_TEXT:
                field_set_pointer(request, step->map->input, branch->text ? branch->text : "");
                return 0;
        case FLOW_DATA:
                if (branch->data)
                        field_set_pointer(request, step->map->input, branch->data);
                return 0;
        case FLOW_DOCUMENTS:
                return documents_put(run, step->documents, request);
        case FLOW_VERDICT:
        case FLOW_INTENT:
                break;
        }
        return 0;
}

ProtobufCMessage *step_request(struct run *run, const struct step *step)
{
        ProtobufCMessage *request = request_for(run->call, step->map, run->request);
        int r = -ENOMEM;

        if (request)
                r = set_input(run, step, request);
        if (r == 0)
                r = apply(run, step, &step->set, request);
        if (r == 0)
                return request;
        if (!run->over)
                run_fail_errno(run, r);
        return NULL;
}

/* ---- plain steps ---------------------------------------------------------------------------- */

static void on_reply(struct ask *ask, struct brick_bytes message)
{
        ask->user = brick_unpack(ask->run->call, ask->step->map->reply, message);
        ask_next(ask);
}

/* What the step makes replaces what was there. */
static void take_value(struct run *run, const struct step *step, const ProtobufCMessage *value)
{
        struct branch *branch = branch_of(run, step);
        const void *made = field_pointer(value, step->map->output);

        run_set_value(run, step, value);
        explain_value(run, step, value);
        if (step->map->makes == FLOW_TEXT)
                branch->text = made;
        else if (step->map->makes == FLOW_DATA)
                branch->data = made;
}

static void on_done(struct ask *ask, const struct brick_outcome *outcome)
{
        if (outcome->status != 0 || outcome->code != 200) {
                step_failed(ask->run, ask->step, outcome);
                return;
        }
        if (!ask->user) {
                step_failed_reply(ask->run, ask->step);
                return;
        }
        take_value(ask->run, ask->step, ask->user);
        step_done(ask->run, ask->step);
}

static int ask_plainly(struct run *run, const struct step *step, const ProtobufCMessage *request)
{
        const struct ask what = { .run = run, .step = step, .message = on_reply, .done = on_done };
        struct ask *ask;
        int r;

        r = ask_start(&ask, &what, step->targets[state_of(run, step)->attempt], BRICK_METHOD_UNARY,
                      request);
        if (r == 0)
                ask_next(ask);
        return r;
}

/* ---- */

/* Whether the replies of the step's brick are those of the pipeline. */
static bool passes_replies(const struct run *run, const struct step *step)
{
        return step->last && step->map == run->plan->map && step->type != BRICK_TYPE_RETRIEVAL &&
               !(step->restore && run->mask.n > 0);
}

enum begun step_begin(struct run *run, const struct step *step)
{
        const ProtobufCMessage *request;
        int r;

        if (state_of(run, step)->attempt == 0)
                explain_begin(run, step);
        if (step->type == BRICK_TYPE_GUARD)
                return judge_begin(run, step);
        request = step_request(run, step);
        if (!request)
                return BEGUN_WAITS;
        explain_input(run, step, request);
        if (stream_is_needed(run, step))
                r = stream_begin(run, step, request);
        else if (passes_replies(run, step))
                r = forward_begin(run, step, request);
        else
                r = ask_plainly(run, step, request);
        if (r < 0)
                step_failed_errno(run, step, r);
        return BEGUN_WAITS;
}

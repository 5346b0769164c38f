/* SPDX-License-Identifier: MIT */

/*
 * Follows the steps in the order in which they run, with what has been made so far, and compiles
 * their texts against that.
 */

#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define BIT(index) (UINT64_C(1) << (index))

/* Whether a text, or data, is there. */
enum presence {
        ABSENT,
        MAYBE, /* made by a step under `when` */
        PRESENT,
};

struct check {
        struct plan *plan;
        uint64_t made;   /* bits of the steps whose values are there */
        uint64_t maybe;  /* of those under `when` */
        uint64_t beside; /* of those that run at the same time */
        uint64_t found;  /* of the steps that find documents, on any way to here */
        enum presence text, data;
        bool masked;
        bool answered; /* some step answers */
        bool replies;  /* some step makes what the pipeline replies with */

        struct expr_name names[STEPS_MAX + VALUE_FIRST];
        char reasons[STEPS_MAX + VALUE_FIRST][200];
        int r;
};

static const struct expr_type truth = { .kind = EXPR_BOOL };
static const struct expr_type text_type = { .kind = EXPR_TEXT };

/* What most people look for first in a reply with a list of results. */
static const struct expr_shorthand shorthands[] = {
        { BRICK_DESCRIPTOR(IntentionResponse), "category", "results", "intent_category" },
        { BRICK_DESCRIPTOR(IntentionResponse), "confidence", "results", "confidence" },
        { BRICK_DESCRIPTOR(GuardResponse), "is_attack", "results", "is_attack" },
        { BRICK_DESCRIPTOR(GuardResponse), "confidence", "results", "confidence" },
        { BRICK_DESCRIPTOR(GuardResponse), "detail", "results", "detail" },
};

/* ---- names ------------------------------------------------------------------------------ */

static bool is_double(const struct check *check, const struct step *step)
{
        for (unsigned i = 0; i < check->plan->n_steps; i++) {
                const struct step *other = check->plan->steps[i];

                if (other != step && other->name && strcmp(other->name, step->name) == 0)
                        return true;
        }
        return false;
}

static const char *missing_value(const struct check *check, const struct step *step)
{
        if (is_double(check, step))
                return "is the name of two steps: give one of them another `name`";
        if (check->made & BIT(step->index))
                return NULL;
        if (check->maybe & BIT(step->index))
                return "is made only under a `when`: use it in the `steps` of that `when`";
        if (check->beside & BIT(step->index))
                return "is made at the same time, in `parallel`: use it in a step behind that";
        return "is not made by an earlier step, but by a later one";
}

static const char *missing_text(enum presence text)
{
        if (text == PRESENT)
                return NULL;
        return text == MAYBE ? "is made only under a `when`" : "is not made by any earlier step";
}

static void set_name(struct check *check, unsigned value, const char *name, struct expr_type type,
                     const char *missing)
{
        struct expr_name *entry = &check->names[value];

        *entry = (struct expr_name){ .name = name, .type = type };
        if (!missing)
                return;
        (void)snprintf(check->reasons[value], sizeof check->reasons[value], "'%s' %s", name,
                       missing);
        entry->unavailable = check->reasons[value];
}

static struct expr_scope scope_of(struct check *check)
{
        struct plan *plan = check->plan;

        set_name(check, VALUE_REQUEST, "request",
                 (struct expr_type){ .kind = EXPR_MESSAGE, .message = plan->map->request }, NULL);
        set_name(check, VALUE_TEXT, "text", text_type, missing_text(check->text));
        for (unsigned i = 0; i < plan->n_steps; i++)
                if (plan->steps[i]->kind == STEP_CALL)
                        set_name(check, plan->steps[i]->value, plan->steps[i]->name,
                                 (struct expr_type){ .kind = EXPR_MESSAGE,
                                                     .message = plan->steps[i]->map->reply },
                                 missing_value(check, plan->steps[i]));
        return (struct expr_scope){
                .names = check->names,
                .n_names = plan->n_values,
                .shorthands = shorthands,
                .n_shorthands = sizeof shorthands / sizeof shorthands[0],
        };
}

/* ---- one step ----------------------------------------------------------------------------- */

static const struct brick_node *option(const struct step *step, const char *name)
{
        return brick_host->node_get(step->node, name);
}

static void note(struct check *check, int r)
{
        if (r < 0 && check->r != -ENOMEM)
                check->r = r;
}

__attribute__((format(printf, 3, 4))) static void blame(struct check *check,
                                                        const struct brick_node *node,
                                                        const char *format, ...)
{
        struct brick_line line;
        va_list args;

        va_start(args, format);
        brick_line_format(&line, format, args);
        va_end(args);
        brick_host->node_error(check->plan->ctx, node, line.text);
        brick_line_free(&line);
        note(check, -EINVAL);
}

static void compile(struct check *check, const struct brick_node *node, bool template,
                    const struct expr_type *want, struct expr **ret)
{
        const struct expr_scope scope = scope_of(check);

        note(check, plan_compile(check->plan->ctx, node, template, &scope, want, ret));
}

static void check_answer(struct check *check, struct step *step)
{
        const struct brick_node *node = option(step, "answer");
        const struct type_map *map = check->plan->map;

        if (map->makes != FLOW_TEXT && map->makes != FLOW_INTENT) {
                blame(check, node, "a pipeline of type %s does not reply with a text", map->name);
                return;
        }
        check->answered = true;
        compile(check, node, true, &text_type, &step->answer);
}

static bool is_set(const struct step *step, const char *field)
{
        return brick_host->node_get(option(step, "set"), field) != NULL;
}

static bool has(const struct check *check, enum flow flow)
{
        switch (flow) {
        case FLOW_TEXT:
                return check->text == PRESENT;
        case FLOW_DATA:
                return check->data == PRESENT;
        case FLOW_DOCUMENTS:
                return check->found || check->plan->map->takes == FLOW_DOCUMENTS;
        case FLOW_VERDICT:
        case FLOW_INTENT:
                break;
        }
        return false;
}

static void check_input(struct check *check, struct step *step)
{
        enum flow takes = step->judge.documents ? FLOW_DOCUMENTS : step->map->takes;
        const char *input = step->map->input;

        if (has(check, takes) || (!step->judge.documents && is_set(step, input)))
                return;
        blame(check, brick_host->node_get(step->node, "brick"),
              "a %s step takes %s, which a pipeline of type %s does not begin with and no earlier "
              "step has surely made; %s makes it%s%s",
              step->map->name, flow_name(takes), check->plan->map->name, flow_makers(takes),
              step->judge.documents ? "" : ", or set ", step->judge.documents ? "" : input);
}

static void check_answers(struct check *check, struct step *step)
{
        bool wanted = step->on_error == ERROR_ANSWER || step->judge.on_hit == JUDGE_ANSWER;
        const struct brick_node *answer = option(step, "answer");

        if (answer && wanted)
                check_answer(check, step);
        else if (answer)
                blame(check, answer,
                      "a step that asks a brick answers only by `on_error: answer` "
                      "or `on_hit: answer`");
        else if (wanted)
                blame(check, step->node, "needs `answer`: the text to answer with");
}

static void makes(struct check *check, const struct step *step)
{
        switch (step->map->makes) {
        case FLOW_TEXT:
                check->text = PRESENT;
                break;
        case FLOW_DATA:
                check->data = PRESENT;
                break;
        case FLOW_DOCUMENTS:
                check->found |= BIT(step->index);
                break;
        case FLOW_VERDICT:
        case FLOW_INTENT:
                break;
        }
        if (step->map->makes == check->plan->map->makes)
                check->replies = true;
        check->made |= BIT(step->index);
        check->masked |= step->judge.mask != NULL;
}

static void check_call(struct check *check, struct step *step)
{
        const struct brick_node *set = option(step, "set");
        const struct expr_scope scope = scope_of(check);

        check_input(check, step);
        step->documents = check->found;
        if (set)
                note(check,
                     settings_read(&step->set, check->plan->ctx, set, step->map->request, &scope));
        if (step->restore && !check->masked)
                blame(check, option(step, "restore"), "no earlier step masks anything");
        check_answers(check, step);
        makes(check, step);
}

/* ---- the tree --------------------------------------------------------------------------- */

static void check_step(struct check *check, struct step *step);

static void check_sequence(struct check *check, struct step *sequence)
{
        for (size_t i = 0; i < sequence->n_inner; i++) {
                const struct step *before = i > 0 ? sequence->inner[i - 1] : NULL;

                if (before && before->kind == STEP_ANSWER && !before->when)
                        blame(check, sequence->inner[i]->node,
                              "never runs: the step before it always answers");
                check_step(check, sequence->inner[i]);
        }
}

/* Each branch sees what was there before, and afterwards all see what each has made. The text is
 * then as before. */
static void check_parallel(struct check *check, struct step *step)
{
        const struct check before = { .made = check->made,
                                      .beside = check->beside,
                                      .text = check->text,
                                      .data = check->data,
                                      .replies = check->replies };
        enum flow makes = check->plan->map->makes;
        uint64_t made = check->made;

        for (size_t i = 0; i < step->n_inner; i++) {
                check_step(check, step->inner[i]);
                made |= check->made;
                check->beside |= check->made & ~before.made;
                check->made = before.made;
                check->text = before.text;
                check->data = before.data;
        }
        check->made = made;
        check->beside = before.beside;
        if (makes == FLOW_TEXT || makes == FLOW_DATA)
                check->replies = before.replies;
}

static enum presence weaker(enum presence before, enum presence after)
{
        return before == PRESENT || after == ABSENT ? before : MAYBE;
}

/* What was made since then was made under `when`. */
static void make_conditional(struct check *check, uint64_t made, enum presence text,
                             enum presence data)
{
        check->maybe |= check->made & ~made;
        check->made = made;
        check->text = weaker(text, check->text);
        check->data = weaker(data, check->data);
}

static void check_kind(struct check *check, struct step *step)
{
        switch (step->kind) {
        case STEP_CALL:
                check_call(check, step);
                break;
        case STEP_ANSWER:
                check_answer(check, step);
                break;
        case STEP_PARALLEL:
                check_parallel(check, step);
                break;
        case STEP_SEQUENCE:
                check_sequence(check, step);
                break;
        }
}

static void check_step(struct check *check, struct step *step)
{
        const struct brick_node *when = option(step, "when");
        uint64_t made = check->made;
        enum presence text = check->text, data = check->data;

        if (when)
                compile(check, when, false, &truth, &step->when);
        check_kind(check, step);
        if (!when)
                return;
        make_conditional(check, made, text, data);
        if (step->otherwise) {
                check_sequence(check, step->otherwise);
                make_conditional(check, made, text, data);
        }
}

static void check_reply(struct check *check, const struct brick_node *config)
{
        const struct type_map *map = check->plan->map;

        if (check->replies || check->answered)
                return;
        blame(check, brick_host->node_get(config, "steps"),
              "a pipeline of type %s replies with %s, and no step makes it; %s does", map->name,
              flow_name(map->makes), flow_makers(map->makes));
}

static void number_values(struct plan *plan)
{
        plan->n_values = VALUE_FIRST;
        for (unsigned i = 0; i < plan->n_steps; i++)
                if (plan->steps[i]->kind == STEP_CALL)
                        plan->steps[i]->value = plan->n_values++;
}

int plan_check(struct plan *plan, const struct brick_node *config)
{
        struct check *check = calloc(1, sizeof *check);
        int r;

        if (!check)
                return -ENOMEM;
        number_values(plan);
        check->plan = plan;
        check->text = plan->map->takes == FLOW_TEXT ? PRESENT : ABSENT;
        check->data = plan->map->takes == FLOW_DATA ? PRESENT : ABSENT;
        check_sequence(check, plan->root);
        check_reply(check, config);
        r = check->r;
        free(check);
        return r;
}

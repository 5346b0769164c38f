/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define HOUR (INT64_C(3600) * 1000 * MS)

/* clang-format off */
static const struct brick_option target_item[] = {
        { .name = "brick", .type = BRICK_TARGET, .summary = "a brick" },
        {},
};

static const struct brick_option text_item[] = {
        { .name = "text", .type = BRICK_STRING, .summary = "a text" },
        {},
};

static const struct brick_option guard_options[] = {
        { .name = "brick", .type = BRICK_TARGET, .flags = BRICK_OPTION_REQUIRED,
          .summary = "the guard that judges the text while it is made" },
        { .name = "hold", .type = BRICK_SIZE, .fallback = "1KiB", .min = 16, .max = 1 << 20,
          .summary = "how much undecided text is held back at most" },
        { .name = "for", .type = BRICK_DURATION, .min = MS, .max = HOUR,
          .summary = "how long undecided text is held back at most" },
        { .name = "on_limit", .type = BRICK_ENUM, .choices = "closed|open", .fallback = "closed",
          .summary = "what becomes of text that is still undecided then: closed ends the reply, "
                     "open lets it pass" },
        { .name = "on_hit", .type = BRICK_ENUM, .choices = "cut|error|mask", .fallback = "cut",
          .summary = "how the reply goes on after a hit" },
        { .name = "message", .type = BRICK_STRING, .fallback = "",
          .summary = "text in place of what was cut" },
        { .name = "mode", .type = BRICK_ENUM, .choices = "enforce|observe", .fallback = "enforce",
          .summary = "observe: only log the names of the rules" },
        {},
};

static const struct brick_option step_options[];

static const struct brick_option step_item[] = {
        { .name = "step", .type = BRICK_MAP, .summary = "a step", .items = step_options },
        {},
};

static const struct brick_option step_options[] = {
        { .name = "brick", .type = BRICK_LIST, .flags = BRICK_OPTION_ONE_OR_MORE,
          .items = target_item,
          .summary = "the brick to ask; of a list, the next one if one fails" },
        { .name = "name", .type = BRICK_STRING,
          .summary = "of the step's value; default: that of the brick" },
        { .name = "when", .type = BRICK_STRING, .summary = "expression: whether the step runs" },
        { .name = "parallel", .type = BRICK_LIST, .items = step_item,
          .summary = "steps that run side by side" },
        { .name = "steps", .type = BRICK_LIST, .items = step_item,
          .summary = "steps that run one after the other" },
        { .name = "else", .type = BRICK_LIST, .items = step_item,
          .summary = "with steps: those that run if `when` is false" },
        { .name = "answer", .type = BRICK_STRING,
          .summary = "template: the text that ends the call" },
        { .name = "set", .type = BRICK_MAP, .summary = "templates for fields of the request" },
        { .name = "timeout", .type = BRICK_DURATION, .min = MS, .max = 24 * HOUR,
          .summary = "how long the brick may take, each of a list" },
        { .name = "on_error", .type = BRICK_ENUM, .choices = "fail|skip|answer",
          .summary = "what follows if the brick fails; default: fail" },
        { .name = "on", .type = BRICK_ENUM, .choices = "text|documents", .fallback = "text",
          .summary = "what a guard judges" },
        { .name = "mode", .type = BRICK_ENUM, .choices = "enforce|observe", .fallback = "enforce",
          .summary = "observe: a guard only logs the names of the rules" },
        { .name = "on_hit", .type = BRICK_ENUM, .choices = "refuse|drop|answer",
          .summary = "what follows if a guard finds an attack; default: refuse, and drop of "
                     "documents" },
        { .name = "mask", .type = BRICK_LIST, .flags = BRICK_OPTION_ONE_OR_MORE,
          .items = text_item,
          .summary = "categories or rules of a guard whose findings become placeholders" },
        { .name = "restore", .type = BRICK_BOOL, .fallback = "false",
          .summary = "put back into the reply what was masked" },
        { .name = "guard", .type = BRICK_MAP, .items = guard_options,
          .summary = "a guard on the text while it is made" },
        {},
};

const struct brick_option plan_options[] = {
        { .name = "type", .type = BRICK_ENUM, .flags = BRICK_OPTION_REQUIRED,
          .choices = "Common|LLM|Guard|Intention|Rectify|Retrieval|Translate|Compose",
          .summary = "type of the pipeline" },
        { .name = "steps", .type = BRICK_LIST, .flags = BRICK_OPTION_REQUIRED, .items = step_item,
          .summary = "what it does, in order" },
        {},
};
/* clang-format on */

/* ---- single options --------------------------------------------------------------------- */

static const struct brick_node *option(const struct brick_node *node, const char *name)
{
        return brick_host->node_get(node, name);
}

static bool is(const struct brick_node *node, const char *name, const char *value)
{
        const struct brick_node *given = option(node, name);

        return given && strcmp(brick_host->node_str(given).ptr, value) == 0;
}

static int blame(struct plan *plan, const struct brick_node *node, const char *reason)
{
        brick_host->node_error(plan->ctx, node, brick_str(reason));
        return -EINVAL;
}

static int copy_text(const struct brick_node *node, char **ret)
{
        *ret = strdup(brick_host->node_str(node).ptr);
        return *ret ? 0 : -ENOMEM;
}

/* The first of the options that a step has and that its kind does not know. */
static int refuse_options(struct plan *plan, const struct brick_node *node,
                          const char *const *names, const char *why)
{
        for (; *names; names++)
                if (option(node, *names)) {
                        brick_node_errorf(brick_host, plan->ctx, option(node, *names), "%s", why);
                        return -EINVAL;
                }
        return 0;
}

/* ---- steps that ask a brick ------------------------------------------------------------- */

/* Whether a guard judges texts in pieces. */
static bool has_filter(struct brick_target *target)
{
        struct brick_filter *filter;

        if (!BRICK_HAS(brick_host, target_filter_open) ||
            brick_host->target_filter_open(target, &filter) < 0)
                return false;
        brick_host->target_filter_close(target, filter);
        return true;
}

static int read_target(struct plan *plan, struct step *step, const struct brick_node *node)
{
        struct brick_target *target = brick_host->target(plan->ctx, node);
        uint32_t type;

        if (!target)
                return blame(plan, node, "there is no such brick");
        type = brick_host->target_type(target);
        if (step->n_targets > 0 && type != step->type) {
                brick_node_errorf(brick_host, plan->ctx, node,
                                  "is a %s brick, and the first of the list a %s brick: one can "
                                  "only stand in for another of its type",
                                  type_map(type)->name, step->map->name);
                return -EINVAL;
        }
        if (!(brick_host->target_methods(target) & 1u << BRICK_METHOD_UNARY))
                return blame(plan, node,
                             "has no method Unary, by which a pipeline asks its bricks");
        step->type = type;
        step->map = type_map(type);
        step->targets[step->n_targets++] = target;
        return 0;
}

static int read_targets(struct plan *plan, struct step *step, const struct brick_node *list)
{
        size_t n = brick_host->node_size(list);
        int r = 0;

        if (n == 0)
                return blame(plan, list, "name a brick");
        step->targets = calloc(n, sizeof step->targets[0]);
        if (!step->targets)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (read_target(plan, step, brick_host->node_at(list, i)) < 0)
                        r = -EINVAL;
        return r;
}

static int read_mask(struct plan *plan, struct step *step, const struct brick_node *node)
{
        const struct brick_node *list = option(node, "mask"), *set = option(node, "set");
        size_t n = brick_host->node_size(list);

        if (!list)
                return 0;
        if (option(set, "text"))
                return blame(plan, option(set, "text"),
                             "what is masked is the pipeline's text: the guard has to judge that");
        if (step->judge.documents)
                return blame(plan, list, "only the text can be masked, not documents");
        if (!step->judge.filter)
                return blame(plan, list,
                             "this guard does not say where in a text it has found something");
        if (step->judge.observe)
                return blame(plan, list, "a guard that only observes changes nothing");
        step->judge.mask = calloc(n + 1, sizeof(char *));
        if (!step->judge.mask)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++, step->judge.n_mask++)
                if (copy_text(brick_host->node_at(list, i), &step->judge.mask[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int read_judge(struct plan *plan, struct step *step, const struct brick_node *node)
{
        struct judge_plan *judge = &step->judge;

        judge->documents = is(node, "on", "documents");
        judge->observe = is(node, "mode", "observe");
        judge->filter = step->n_targets == 1 && has_filter(step->targets[0]);
        judge->on_hit = is(node, "on_hit", "answer")                  ? JUDGE_ANSWER
                        : is(node, "on_hit", "drop")                  ? JUDGE_DROP
                        : judge->documents && !option(node, "on_hit") ? JUDGE_DROP
                                                                      : JUDGE_REFUSE;
        if (judge->on_hit == JUDGE_DROP && !judge->documents)
                return blame(plan, option(node, "on_hit"), "drop is for `on: documents`");
        if (judge->documents && option(node, "set"))
                return blame(plan, option(node, "set"),
                             "is not for `on: documents`: the guard is "
                             "asked about each of them");
        if (judge->observe && !option(node, "on_error"))
                step->on_error = ERROR_SKIP;
        return read_mask(plan, step, node);
}

static int read_guard(struct plan *plan, struct step *step, const struct brick_node *node)
{
        const struct brick_node *brick = option(node, "brick");
        struct watch_plan *watch = &step->watch;

        if (!node)
                return 0;
        if (step->type != BRICK_TYPE_LLM && step->type != BRICK_TYPE_TRANSLATE)
                return blame(plan, node,
                             "is for steps that make a text piece by piece: LLM and Translate");
        watch->target = brick_host->target(plan->ctx, brick);
        if (!watch->target)
                return blame(plan, brick, "there is no such brick");
        if (brick_host->target_type(watch->target) != BRICK_TYPE_GUARD)
                return blame(plan, brick, "is not the name of a Guard brick");
        watch->filter = has_filter(watch->target);
        watch->observe = is(node, "mode", "observe");
        watch->open = is(node, "on_limit", "open");
        watch->on_hit = is(node, "on_hit", "error")  ? WATCH_ERROR
                        : is(node, "on_hit", "mask") ? WATCH_MASK
                                                     : WATCH_CUT;
        watch->hold = (size_t)brick_host->node_int(option(node, "hold"));
        watch->max = (uint64_t)brick_host->node_int(option(node, "for"));
        if (watch->on_hit == WATCH_MASK && !watch->filter)
                return blame(plan, option(node, "on_hit"),
                             "this guard does not say where in a text it has found something");
        if (copy_text(brick, &watch->name) < 0)
                return -ENOMEM;
        return copy_text(option(node, "message"), &watch->message);
}

/* A value's name from a brick's: my-docs is my_docs. */
static void make_name(char *name)
{
        for (char *p = name; *p; p++)
                if (*p == '-' || *p == '.')
                        *p = '_';
}

static bool is_name(const char *name)
{
        static const char letters[] = "0123456789"
                                      "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ";

        return name[0] > '9' && name[strspn(name, letters)] == '\0';
}

static int read_name(struct plan *plan, struct step *step, const struct brick_node *node,
                     const struct brick_node *list)
{
        const struct brick_node *given = option(node, "name");
        int r;

        step->named = given;
        r = copy_text(given ? given : brick_host->node_at(list, 0), &step->name);
        if (r < 0 || !given) {
                if (r == 0)
                        make_name(step->name);
                return r;
        }
        if (!is_name(step->name))
                return blame(plan, given,
                             "a name has letters, digits and _, and starts with no "
                             "digit");
        if (strcmp(step->name, "request") == 0 || strcmp(step->name, "text") == 0)
                return blame(plan, given, "every pipeline has a value of this name already");
        for (unsigned i = 0; i < plan->n_steps; i++)
                if (plan->steps[i] != step && plan->steps[i]->named &&
                    strcmp(plan->steps[i]->name, step->name) == 0)
                        return blame(plan, given, "an earlier step has this name");
        return 0;
}

static int read_call(struct plan *plan, struct step *step, const struct brick_node *node)
{
        static const char *const guards[] = { "mask", "on_hit", NULL };
        const struct brick_node *list = option(node, "brick");
        int r;

        r = read_targets(plan, step, list);
        if (r < 0)
                return r;
        r = read_name(plan, step, node, list);
        if (r < 0)
                return r;
        step->timeout = (uint64_t)brick_host->node_int(option(node, "timeout"));
        step->on_error = is(node, "on_error", "skip")     ? ERROR_SKIP
                         : is(node, "on_error", "answer") ? ERROR_ANSWER
                                                          : ERROR_FAIL;
        step->restore = brick_host->node_int(option(node, "restore"));
        if (step->restore && step->map->makes != FLOW_TEXT)
                return blame(plan, option(node, "restore"),
                             "is for steps that make a text: Rectify, Translate and LLM");
        r = read_guard(plan, step, option(node, "guard"));
        if (r < 0)
                return r;
        if (step->type == BRICK_TYPE_GUARD)
                return read_judge(plan, step, node);
        if (is(node, "on", "documents"))
                return blame(plan, option(node, "on"), "is for steps that ask a Guard brick");
        if (is(node, "mode", "observe"))
                return blame(plan, option(node, "mode"), "is for steps that ask a Guard brick");
        return refuse_options(plan, node, guards, "is for steps that ask a Guard brick");
}

/* ---- the tree --------------------------------------------------------------------------- */

static int read_step(struct plan *plan, const struct brick_node *node, const struct step *parent,
                     unsigned depth, struct step **ret);

static int new_step(struct plan *plan, const struct brick_node *node, const struct step *parent,
                    enum step_kind kind, struct step **ret)
{
        struct step *step;

        if (plan->n_steps == STEPS_MAX)
                return blame(plan, node, "a pipeline has at most 64 steps");
        step = calloc(1, sizeof *step);
        if (!step)
                return -ENOMEM;
        *step = (struct step){
                .kind = kind,
                .index = plan->n_steps,
                .branch = parent ? parent->branch : 0,
                .parent = parent,
                .node = node,
        };
        plan->steps[plan->n_steps++] = *ret = step;
        return 0;
}

static int read_inner(struct plan *plan, struct step *step, const struct brick_node *list,
                      unsigned depth)
{
        size_t n = brick_host->node_size(list);
        int r = 0;

        if (n == 0)
                return blame(plan, list, "needs at least one step");
        if (depth == DEPTH_MAX)
                return blame(plan, list, "steps are nested too deep: the limit is 8");
        step->inner = calloc(n, sizeof step->inner[0]);
        if (!step->inner)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int q = read_step(plan, brick_host->node_at(list, i), step, depth + 1,
                                  &step->inner[step->n_inner]);

                if (step->inner[step->n_inner])
                        step->n_inner++;
                if (q < 0)
                        r = q;
                if (q == -ENOMEM)
                        break;
        }
        for (size_t i = 1; step->kind == STEP_SEQUENCE && i < step->n_inner; i++)
                step->inner[i - 1]->next = step->inner[i];
        return r;
}

static int read_sequence(struct plan *plan, struct step *step, const struct brick_node *node,
                         unsigned depth)
{
        const struct brick_node *otherwise = option(node, "else");
        int r;

        r = read_inner(plan, step, option(node, "steps"), depth);
        if (r < 0 || !otherwise)
                return r;
        if (!option(node, "when"))
                return blame(plan, otherwise, "needs `when`");
        r = new_step(plan, otherwise, step, STEP_SEQUENCE, &step->otherwise);
        if (r < 0)
                return r;
        return read_inner(plan, step->otherwise, otherwise, depth);
}

static int kind_of(struct plan *plan, const struct brick_node *node, enum step_kind *ret)
{
        static const struct {
                const char *name;
                enum step_kind kind;
        } kinds[] = {
                { "brick", STEP_CALL },
                { "parallel", STEP_PARALLEL },
                { "steps", STEP_SEQUENCE },
                { "answer", STEP_ANSWER },
        };
        const char *found = NULL;

        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
                if (!option(node, kinds[i].name))
                        continue;
                if (!found) {
                        found = kinds[i].name;
                        *ret = kinds[i].kind;
                } else if (kinds[i].kind != STEP_ANSWER || *ret != STEP_CALL) {
                        brick_node_errorf(brick_host, plan->ctx, option(node, kinds[i].name),
                                          "a step with `%s` cannot have this as well", found);
                        return -EINVAL;
                }
        }
        return found ? 0
                     : blame(plan, node,
                             "a step needs one of `brick`, `parallel`, `steps` and "
                             "`answer`");
}

static int read_kind(struct plan *plan, struct step *step, const struct brick_node *node,
                     unsigned depth)
{
        static const char *const of_calls[] = { "name",   "set",  "timeout", "on_error",
                                                "on_hit", "mask", "guard",   NULL };
        int r;

        if (step->kind == STEP_CALL)
                return read_call(plan, step, node);
        r = refuse_options(plan, node, of_calls, "is for steps that ask a `brick`");
        if (r < 0 || step->kind == STEP_ANSWER)
                return r;
        if (step->kind == STEP_SEQUENCE)
                return read_sequence(plan, step, node, depth);
        return read_inner(plan, step, option(node, "parallel"), depth);
}

/* Each step of `parallel` reads and replaces a text of its own. */
static void choose_branch(struct plan *plan, struct step *step)
{
        if (step->parent && step->parent->kind == STEP_PARALLEL)
                step->branch = plan->n_branches++;
}

static int read_step(struct plan *plan, const struct brick_node *node, const struct step *parent,
                     unsigned depth, struct step **ret)
{
        enum step_kind kind;
        int r;

        *ret = NULL;
        r = kind_of(plan, node, &kind);
        if (r < 0)
                return r;
        if (kind != STEP_SEQUENCE && option(node, "else"))
                return blame(plan, option(node, "else"), "is for steps with `steps`");
        r = new_step(plan, node, parent, kind, ret);
        if (r < 0)
                return r;
        choose_branch(plan, *ret);
        return read_kind(plan, *ret, node, depth);
}

/* Whether no step follows a step of the sequence, which itself is the last or not. */
static void mark_last(struct step *sequence, bool last)
{
        for (size_t i = 0; i < sequence->n_inner; i++) {
                struct step *step = sequence->inner[i];

                step->last = last && !step->next;
                if (step->kind == STEP_SEQUENCE)
                        mark_last(step, step->last);
                if (step->otherwise)
                        mark_last(step->otherwise, step->last);
        }
}

int plan_read(struct plan *plan, const struct brick_node *config)
{
        int r;

        plan->type = brick_host->type(plan->ctx);
        plan->map = type_map(plan->type);
        plan->n_branches = 1;
        plan->observed = calloc(STEPS_MAX, sizeof plan->observed[0]);
        if (!plan->observed)
                return -ENOMEM;
        r = new_step(plan, config, NULL, STEP_SEQUENCE, &plan->root);
        if (r < 0)
                return r;
        r = read_inner(plan, plan->root, option(config, "steps"), 0);
        if (r == 0)
                mark_last(plan->root, true);
        return r;
}

static void step_free(struct step *step)
{
        expr_free(step->when);
        expr_free(step->answer);
        settings_done(&step->set);
        for (size_t i = 0; i < step->judge.n_mask; i++)
                free(step->judge.mask[i]);
        free(step->judge.mask);
        free(step->watch.name);
        free(step->watch.message);
        free(step->targets);
        free(step->inner);
        free(step->name);
        free(step);
}

void plan_done(struct plan *plan)
{
        for (unsigned i = 0; i < plan->n_steps; i++)
                step_free(plan->steps[i]);
        free(plan->observed);
}

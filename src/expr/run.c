/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "expr/node.h"
#include "expr/value.h"

int expr_fail(struct expr_machine *machine, const struct expr_node *node, int error,
              const char *format, ...)
{
        struct expr_mistake *mistake = machine->mistake;
        va_list args;

        mistake->line = node->place.line;
        mistake->column = node->place.column;
        va_start(args, format);
        (void)vsnprintf(mistake->text, sizeof mistake->text, format, args);
        va_end(args);
        return error;
}

void *expr_alloc(struct expr_machine *machine, size_t size)
{
        return machine->run->alloc(machine->run->user, size);
}

int expr_charge(struct expr_machine *machine, const struct expr_node *node, size_t bytes)
{
        uint64_t cost = 1 + bytes / 64;

        if (cost > machine->steps)
                return expr_fail(machine, node, -E2BIG,
                                 "this takes too many steps: give it less, or make it simpler");
        machine->steps -= cost;
        return 0;
}

/* Only values that are not known when the text is compiled can have another kind here. */
static int check_kind(struct expr_machine *machine, const struct expr_node *node, size_t index,
                      const struct expr_value *value)
{
        enum expr_kind want = node->op->params[index];

        if (want == EXPR_ANY || value->kind == want)
                return 0;
        return expr_fail(machine, node->args[index], -EINVAL, "%s needs %s, this is %s",
                         node->op->name, expr_kind_name(want), expr_kind_name(value->kind));
}

static int run_with_args(struct expr_machine *machine, const struct expr_node *node,
                         struct expr_value *ret)
{
        struct expr_value args[EXPR_ARGS];
        int r;

        for (size_t i = 0; i < node->n_args; i++) {
                r = expr_run_node(machine, node->args[i], &args[i]);
                if (r == 0)
                        r = check_kind(machine, node, i, &args[i]);
                if (r < 0)
                        return r;
        }
        return node->op->run(machine, node, args, ret);
}

int expr_run_node(struct expr_machine *machine, const struct expr_node *node,
                  struct expr_value *ret)
{
        int r = expr_charge(machine, node, 0);

        if (r < 0)
                return r;
        return node->op->run_node ? node->op->run_node(machine, node, ret)
                                  : run_with_args(machine, node, ret);
}

int expr_run(const struct expr *expr, const struct expr_run *run, struct expr_value *ret,
             struct expr_mistake *mistake)
{
        struct expr_machine machine = {
                .run = run,
                .steps = run->steps ? run->steps : EXPR_STEPS,
                .output = run->output ? run->output : EXPR_OUTPUT,
                .mistake = mistake,
        };
        struct expr_value value;
        int r;

        if (expr->n_loops > 0) {
                machine.loops = expr_alloc(&machine, expr->n_loops * sizeof(*machine.loops));
                if (!machine.loops)
                        return -ENOMEM;
        }
        r = expr_run_node(&machine, expr->root, &value);
        if (r == 0 && expr->want.kind != EXPR_ANY && !expr_value_fits(&value, &expr->want))
                r = expr_fail(&machine, expr->root, -EINVAL, "%s is needed here, this is %s",
                              expr_type_name(&expr->want).text, expr_kind_name(value.kind));
        if (r == 0)
                *ret = value;
        return r;
}

/* SPDX-License-Identifier: MIT */

/* The operators: access, logic, comparisons, sums. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expr/compile.h"
#include "expr/out.h"
#include "expr/value.h"

/* --- constants and names --- */

static int constant_run(struct expr_machine *machine, const struct expr_node *node,
                        struct expr_value *ret)
{
        *ret = node->value;
        return 0;
}

const struct expr_op expr_op_constant = {
        .run_node = constant_run,
        .print = expr_print_constant,
};

static int name_run(struct expr_machine *machine, const struct expr_node *node,
                    struct expr_value *ret)
{
        *ret = machine->run->values[node->slot];
        if (expr_value_fits(ret, &node->type))
                return 0;
        return expr_fail(machine, node, -EINVAL, "%s is not %s", node->name,
                         expr_type_name(&node->type).text);
}

static void name_print(FILE *file, const struct expr_node *node)
{
        (void)fputs(node->name, file);
}

const struct expr_op expr_op_name = { .run_node = name_run, .print = name_print };

static int variable_run(struct expr_machine *machine, const struct expr_node *node,
                        struct expr_value *ret)
{
        *ret = machine->loops[node->slot].item;
        return 0;
}

const struct expr_op expr_op_variable = { .run_node = variable_run, .print = name_print };

static int loop_run(struct expr_machine *machine, const struct expr_node *node,
                    struct expr_value *ret)
{
        *ret = node->loop->get(&machine->loops[node->slot]);
        return 0;
}

static void loop_print(FILE *file, const struct expr_node *node)
{
        (void)fprintf(file, "loop.%s", node->loop->name);
}

const struct expr_op expr_op_loop = { .run_node = loop_run, .print = loop_print };

/* --- access --- */

static int field_run(struct expr_machine *machine, const struct expr_node *node,
                     struct expr_value *ret)
{
        struct expr_value object;
        int r = expr_run_node(machine, node->args[0], &object);

        if (r == 0)
                *ret = expr_value_of_field(object.message, node->field);
        return r;
}

static void field_print(FILE *file, const struct expr_node *node)
{
        expr_print_node(file, node->args[0], EXPR_PRIMARY);
        (void)fprintf(file, ".%s", node->field->name);
}

const struct expr_op expr_op_field = { .run_node = field_run, .print = field_print };

static const char index_wrong[] = "the index of a list is a whole number";

static bool list_index_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_node *index = node->args[1];

        if (!expr_check_kind(compiler, node, index, EXPR_NUMBER))
                return false;
        if (index->op == &expr_op_constant && trunc(index->value.number) != index->value.number)
                return expr_wrong(compiler, index->place, "%s", index_wrong);
        return true;
}

static bool index_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_node *object = node->args[0];
        const struct expr_type *type = &object->type;

        if (type->kind == EXPR_LIST) {
                node->type = expr_type_of_elements(type);
                return list_index_check(compiler, node);
        }
        if (type->kind == EXPR_MESSAGE && expr_is_struct(type->message))
                return expr_check_kind(compiler, node, node->args[1], EXPR_TEXT);
        if (type->kind == EXPR_ANY)
                return true;
        return expr_wrong(compiler, node->place, "%s has no [...]: it is for lists and Structs",
                          expr_type_name(type).text);
}

/* An index past the end gives the default of the elements' type, as an unset field does. */
static int index_list(struct expr_machine *machine, const struct expr_node *node,
                      const struct expr_value *list, double index, struct expr_value *ret)
{
        if (trunc(index) != index)
                return expr_fail(machine, node->args[1], -EINVAL, "%s", index_wrong);
        if (index < 0)
                index += (double)list->n;
        *ret = index >= 0 && index < (double)list->n ? expr_element(list, (size_t)index)
                                                     : expr_default_of(&node->type);
        return 0;
}

static int index_message(struct expr_machine *machine, const struct expr_node *node,
                         const struct expr_value *object, const struct expr_value *key,
                         struct expr_value *ret)
{
        if (expr_is_null(object)) {
                *ret = expr_null();
                return 0;
        }
        if (!expr_is_struct(object->message->descriptor))
                return expr_fail(machine, node, -EINVAL, "[...] needs a Struct or a list");
        *ret = expr_struct_at(object->message,
                              expr_struct_find(object->message, key->text, key->n));
        return expr_charge(machine, node, expr_struct_size(object->message) * 64);
}

static int index_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        if (args[0].kind == EXPR_LIST && args[1].kind == EXPR_NUMBER)
                return index_list(machine, node, &args[0], args[1].number, ret);
        if ((args[0].kind == EXPR_MESSAGE || args[0].kind == EXPR_NULL) &&
            args[1].kind == EXPR_TEXT)
                return index_message(machine, node, &args[0], &args[1], ret);
        if (args[0].kind == EXPR_NULL) {
                *ret = expr_null();
                return 0;
        }
        return expr_fail(machine, node, -EINVAL, "%s has no [...] with %s",
                         expr_kind_name(args[0].kind), expr_kind_name(args[1].kind));
}

static void index_print(FILE *file, const struct expr_node *node)
{
        expr_print_node(file, node->args[0], EXPR_PRIMARY);
        (void)fputc('[', file);
        expr_print_node(file, node->args[1], 0);
        (void)fputc(']', file);
}

const struct expr_op expr_op_index = {
        .name = "[...]",
        .max_args = 2,
        .result = EXPR_ANY,
        .check = index_check,
        .run = index_run,
        .print = index_print,
};

static bool list_check(struct expr_compiler *compiler, struct expr_node *node)
{
        struct expr_type first = { .kind = EXPR_ANY };

        if (node->n_args > 0)
                first = node->args[0]->type;
        for (size_t i = 1; i < node->n_args; i++)
                if (node->args[i]->type.kind != first.kind ||
                    node->args[i]->type.message != first.message)
                        first = (struct expr_type){ .kind = EXPR_ANY };
        node->type.of = first.kind;
        node->type.message = first.kind == EXPR_MESSAGE ? first.message : NULL;
        return true;
}

static int list_run(struct expr_machine *machine, const struct expr_node *node,
                    struct expr_value *ret)
{
        struct expr_value *items = NULL;
        int r = 0;

        if (node->n_args > 0) {
                items = expr_alloc(machine, node->n_args * sizeof *items);
                if (!items)
                        return -ENOMEM;
        }
        for (size_t i = 0; r == 0 && i < node->n_args; i++)
                r = expr_run_node(machine, node->args[i], &items[i]);
        *ret = (struct expr_value){
                .kind = EXPR_LIST,
                .values = true,
                .n = node->n_args,
                .elements = items,
        };
        return r;
}

static void list_print(FILE *file, const struct expr_node *node)
{
        (void)fputc('[', file);
        for (size_t i = 0; i < node->n_args; i++) {
                (void)fputs(i > 0 ? ", " : "", file);
                expr_print_node(file, node->args[i], 0);
        }
        (void)fputc(']', file);
}

const struct expr_op expr_op_list = {
        .name = "a list",
        .keeps = true,
        .result = EXPR_LIST,
        .check = list_check,
        .run_node = list_run,
        .print = list_print,
};

/* --- logic --- */

static int not_run(struct expr_machine *machine, const struct expr_node *node,
                   const struct expr_value *args, struct expr_value *ret)
{
        *ret = expr_bool(!args[0].truth);
        return 0;
}

static void not_print(FILE *file, const struct expr_node *node)
{
        (void)fputs("not ", file);
        expr_print_node(file, node->args[0], EXPR_NOT);
}

const struct expr_op expr_op_not = {
        .name = "not",
        .max_args = 1,
        .precedence = EXPR_NOT,
        .params = { EXPR_BOOL },
        .result = EXPR_BOOL,
        .run = not_run,
        .print = not_print,
};

/* The right side runs only if the left one does not decide. */
static int logic_run(struct expr_machine *machine, const struct expr_node *node,
                     struct expr_value *ret)
{
        bool decides = node->op->precedence == EXPR_OR;
        int r = 0;

        for (size_t i = 0; i < 2; i++) {
                r = expr_run_node(machine, node->args[i], ret);
                if (r == 0 && ret->kind != EXPR_BOOL)
                        r = expr_fail(machine, node->args[i], -EINVAL,
                                      "%s needs true or false, this is %s", node->op->name,
                                      expr_kind_name(ret->kind));
                if (r < 0 || ret->truth == decides)
                        break;
        }
        return r;
}

/* --- comparisons --- */

static bool has_order(enum expr_kind kind)
{
        return kind == EXPR_NUMBER || kind == EXPR_TEXT;
}

static bool is_scalar(enum expr_kind kind)
{
        return kind == EXPR_ANY || kind == EXPR_NULL || kind == EXPR_BOOL || has_order(kind);
}

static bool equal_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *a = &node->args[0]->type, *b = &node->args[1]->type;

        if (a->kind == EXPR_NULL || b->kind == EXPR_NULL) {
                const struct expr_type *other = a->kind == EXPR_NULL ? b : a;

                if (other->kind == EXPR_ANY || other->kind == EXPR_MESSAGE ||
                    other->kind == EXPR_NULL)
                        return true;
                return expr_wrong(compiler, node->place, "%s is never null",
                                  expr_type_name(other).text);
        }
        if (!is_scalar(a->kind) || !is_scalar(b->kind))
                return expr_wrong(compiler, node->place, "%s cannot be compared: name a part of it",
                                  expr_type_name(is_scalar(a->kind) ? b : a).text);
        if (a->kind != EXPR_ANY && b->kind != EXPR_ANY && a->kind != b->kind)
                return expr_wrong(compiler, node->place, "%s and %s are never equal",
                                  expr_type_name(a).text, expr_type_name(b).text);
        return true;
}

static int equal(struct expr_machine *machine, const struct expr_node *node,
                 const struct expr_value *a, const struct expr_value *b, bool *ret)
{
        if (expr_is_null(a) || expr_is_null(b)) {
                *ret = expr_is_null(a) && expr_is_null(b);
                return 0;
        }
        if (!is_scalar(a->kind) || !is_scalar(b->kind))
                return expr_fail(machine, node, -EINVAL, "%s cannot be compared: name a part of it",
                                 expr_kind_name(is_scalar(a->kind) ? b->kind : a->kind));
        *ret = false;
        if (a->kind != b->kind)
                return 0;
        if (a->kind == EXPR_TEXT) {
                *ret = a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
                return expr_charge(machine, node, a->n);
        }
        *ret = a->kind == EXPR_BOOL ? a->truth == b->truth : a->number == b->number;
        return 0;
}

static int equal_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        bool same = false;
        int r = equal(machine, node, &args[0], &args[1], &same);

        if (r == 0)
                *ret = expr_bool(same == (node->op->name[0] == '='));
        return r;
}

static bool order_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *a = &node->args[0]->type, *b = &node->args[1]->type;
        bool a_fits = a->kind == EXPR_ANY || has_order(a->kind);

        if (!a_fits || (b->kind != EXPR_ANY && !has_order(b->kind)))
                return expr_wrong(compiler, node->place,
                                  "'%s' is for numbers and texts, not for %s", node->op->name,
                                  expr_type_name(a_fits ? b : a).text);
        if (a->kind != EXPR_ANY && b->kind != EXPR_ANY && a->kind != b->kind)
                return expr_wrong(compiler, node->place, "%s and %s have no order",
                                  expr_type_name(a).text, expr_type_name(b).text);
        return true;
}

static int compare_texts(const struct expr_value *a, const struct expr_value *b)
{
        int order = memcmp(a->text, b->text, a->n < b->n ? a->n : b->n);

        return order ? order : (a->n > b->n) - (a->n < b->n);
}

static bool is_ordered(const char *symbol, bool less, bool same, bool greater)
{
        return (symbol[0] == '<' ? less : greater) || (symbol[1] == '=' && same);
}

static int order_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        const struct expr_value *a = &args[0], *b = &args[1];
        const char *symbol = node->op->name;
        int order;

        if (a->kind != b->kind || !has_order(a->kind))
                return expr_fail(machine, node, -EINVAL,
                                 "'%s' needs two numbers or two texts, here are %s and %s", symbol,
                                 expr_kind_name(a->kind), expr_kind_name(b->kind));
        if (a->kind == EXPR_NUMBER) {
                *ret = expr_bool(is_ordered(
                        symbol, a->number<b->number, a->number == b->number, a->number> b->number));
                return 0;
        }
        order = compare_texts(a, b);
        *ret = expr_bool(is_ordered(symbol, order<0, order == 0, order> 0));
        return expr_charge(machine, node, a->n);
}

static bool in_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *a = &node->args[0]->type, *b = &node->args[1]->type;

        switch (b->kind) {
        case EXPR_ANY:
                return true;
        case EXPR_LIST:
                if (b->of == EXPR_ANY || a->kind == EXPR_ANY ||
                    (b->of == a->kind && is_scalar(a->kind)))
                        return true;
                return expr_wrong(compiler, node->place, "%s is never in %s",
                                  expr_type_name(a).text, expr_type_name(b).text);
        case EXPR_MESSAGE:
                if (!expr_is_struct(b->message))
                        break;
                return expr_check_kind(compiler, node, node->args[0], EXPR_TEXT);
        case EXPR_TEXT:
                return expr_check_kind(compiler, node, node->args[0], EXPR_TEXT);
        default:
                break;
        }
        return expr_wrong(compiler, node->args[1]->place,
                          "'%s' looks into a list, a text or a Struct, this is %s", node->op->name,
                          expr_type_name(b).text);
}

static int in_list(struct expr_machine *machine, const struct expr_node *node,
                   const struct expr_value *item, const struct expr_value *list, bool *ret)
{
        int r = expr_charge(machine, node, list->n * 64);

        *ret = false;
        for (size_t i = 0; r == 0 && !*ret && i < list->n; i++) {
                struct expr_value element = expr_element(list, i);

                r = equal(machine, node, item, &element, ret);
        }
        return r;
}

static int in_text(struct expr_machine *machine, const struct expr_node *node,
                   const struct expr_value *part, const struct expr_value *text, bool *ret)
{
        *ret = part->n == 0 || memmem(text->text, text->n, part->text, part->n);
        return expr_charge(machine, node, text->n);
}

static int in_struct(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *key, const struct expr_value *map, bool *ret)
{
        size_t n = expr_struct_size(map->message);

        *ret = expr_struct_find(map->message, key->text, key->n) < n;
        return expr_charge(machine, node, n * 64);
}

static int in_run(struct expr_machine *machine, const struct expr_node *node,
                  const struct expr_value *args, struct expr_value *ret)
{
        const struct expr_value *a = &args[0], *b = &args[1];
        bool found = false, is_text = a->kind == EXPR_TEXT;
        int r;

        if (b->kind == EXPR_LIST)
                r = in_list(machine, node, a, b, &found);
        else if (b->kind == EXPR_TEXT && is_text)
                r = in_text(machine, node, a, b, &found);
        else if (b->kind == EXPR_MESSAGE && is_text &&
                 (!b->message || expr_is_struct(b->message->descriptor)))
                r = in_struct(machine, node, a, b, &found);
        else
                r = expr_fail(machine, node, -EINVAL, "'%s' cannot look for %s in %s",
                              node->op->name, expr_kind_name(a->kind), expr_kind_name(b->kind));
        if (r == 0)
                *ret = expr_bool(found == (node->op->name[0] == 'i'));
        return r;
}

/* --- sums --- */

static bool add_check(struct expr_compiler *compiler, struct expr_node *node)
{
        if (!order_check(compiler, node))
                return false;
        node->type.kind = node->args[0]->type.kind == EXPR_ANY ? node->args[1]->type.kind
                                                               : node->args[0]->type.kind;
        return true;
}

static int number(struct expr_machine *machine, const struct expr_node *node, double n,
                  struct expr_value *ret)
{
        if (!isfinite(n))
                return expr_fail(machine, node, -EINVAL, "the number is too large");
        *ret = expr_number(n);
        return 0;
}

static int add_run(struct expr_machine *machine, const struct expr_node *node,
                   const struct expr_value *args, struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        int r;

        if (args[0].kind == EXPR_NUMBER && args[1].kind == EXPR_NUMBER)
                return number(machine, node, args[0].number + args[1].number, ret);
        if (args[0].kind != EXPR_TEXT || args[1].kind != EXPR_TEXT)
                return expr_fail(machine, node, -EINVAL,
                                 "'+' needs two numbers or two texts, here are %s and %s",
                                 expr_kind_name(args[0].kind), expr_kind_name(args[1].kind));
        r = expr_out_add_value(&out, &args[0]);
        if (r == 0)
                r = expr_out_add_value(&out, &args[1]);
        *ret = expr_out_end(&out);
        return r;
}

static int subtract_run(struct expr_machine *machine, const struct expr_node *node,
                        const struct expr_value *args, struct expr_value *ret)
{
        return number(machine, node, args[0].number - args[1].number, ret);
}

static int negate_run(struct expr_machine *machine, const struct expr_node *node,
                      const struct expr_value *args, struct expr_value *ret)
{
        *ret = expr_number(-args[0].number);
        return 0;
}

static void negate_print(FILE *file, const struct expr_node *node)
{
        (void)fputs("-", file);
        expr_print_node(file, node->args[0], EXPR_SIGN);
}

const struct expr_op expr_op_negate = {
        .name = "-",
        .max_args = 1,
        .precedence = EXPR_SIGN,
        .params = { EXPR_NUMBER },
        .result = EXPR_NUMBER,
        .run = negate_run,
        .print = negate_print,
};

#define INFIX(symbol, binds, ...)                                                                  \
        {                                                                                          \
                .name = (symbol), .precedence = (binds), .max_args = 2, .print = expr_print_infix, \
                __VA_ARGS__                                                                        \
        }
#define COMPARISON(symbol, how) \
        INFIX(symbol, EXPR_COMPARISON, .result = EXPR_BOOL, .check = how##_check, .run = how##_run)
#define LOGIC(symbol, binds)                                                          \
        INFIX(symbol, binds, .result = EXPR_BOOL, .params = { EXPR_BOOL, EXPR_BOOL }, \
              .run_node = logic_run)

static const struct expr_op operators[] = {
        LOGIC("or", EXPR_OR),
        LOGIC("and", EXPR_AND),
        COMPARISON("==", equal),
        COMPARISON("!=", equal),
        COMPARISON("<", order),
        COMPARISON("<=", order),
        COMPARISON(">", order),
        COMPARISON(">=", order),
        COMPARISON("in", in),
        COMPARISON("not in", in),
        INFIX("+", EXPR_SUM, .keeps = true, .result = EXPR_ANY, .check = add_check, .run = add_run),
        INFIX("-", EXPR_SUM, .result = EXPR_NUMBER, .params = { EXPR_NUMBER, EXPR_NUMBER },
              .run = subtract_run),
};

const struct expr_op *expr_operator(const char *symbol, size_t length)
{
        for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
                if (strlen(operators[i].name) == length &&
                    memcmp(operators[i].name, symbol, length) == 0)
                        return &operators[i];
        return NULL;
}

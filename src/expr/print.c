/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "expr/node.h"
#include "expr/value.h"

static void print_text(FILE *file, const struct expr_value *text)
{
        static const char escaped[] = "\"\\\n\t\r", letters[] = "\"\\ntr";

        (void)fputc('"', file);
        for (size_t i = 0; i < text->n; i++) {
                const char *found = memchr(escaped, text->text[i], sizeof escaped - 1);

                if (found)
                        (void)fprintf(file, "\\%c", letters[found - escaped]);
                else
                        (void)fputc(text->text[i], file);
        }
        (void)fputc('"', file);
}

static void print_value(FILE *file, const struct expr_value *value)
{
        struct expr_value item;

        switch (value->kind) {
        case EXPR_BOOL:
                (void)fputs(value->truth ? "true" : "false", file);
                break;
        case EXPR_NUMBER:
                (void)fputs(expr_number_text(value->number).text, file);
                break;
        case EXPR_TEXT:
                print_text(file, value);
                break;
        case EXPR_LIST:
                (void)fputc('[', file);
                for (size_t i = 0; i < value->n; i++) {
                        item = expr_element(value, i);
                        (void)fputs(i > 0 ? ", " : "", file);
                        print_value(file, &item);
                }
                (void)fputc(']', file);
                break;
        default:
                (void)fputs("null", file);
                break;
        }
}

void expr_print_constant(FILE *file, const struct expr_node *node)
{
        print_value(file, &node->value);
}

void expr_print_infix(FILE *file, const struct expr_node *node)
{
        unsigned precedence = node->op->precedence;

        expr_print_node(file, node->args[0],
                        precedence == EXPR_COMPARISON ? precedence + 1 : precedence);
        (void)fprintf(file, " %s ", node->op->name);
        expr_print_node(file, node->args[1], precedence + 1);
}

static void print_call(FILE *file, const struct expr_node *node)
{
        (void)fprintf(file, "%s(", node->op->name);
        for (size_t i = 0; i < node->n_args; i++) {
                (void)fputs(i > 0 ? ", " : "", file);
                expr_print_node(file, node->args[i], 0);
        }
        (void)fputc(')', file);
}

static unsigned precedence_of(const struct expr_node *node)
{
        bool negative = node->op == &expr_op_constant && node->value.kind == EXPR_NUMBER &&
                        node->value.number < 0;

        if (negative)
                return EXPR_SIGN;
        return node->op->precedence ? node->op->precedence : EXPR_PRIMARY;
}

void expr_print_node(FILE *file, const struct expr_node *node, unsigned precedence)
{
        bool brackets = precedence_of(node) < precedence;

        (void)fputs(brackets ? "(" : "", file);
        if (node->op->print)
                node->op->print(file, node);
        else
                print_call(file, node);
        (void)fputs(brackets ? ")" : "", file);
}

char *expr_print(const struct expr *expr)
{
        bool one = expr->is_template && expr->root->op != &expr_op_template;
        char *text = NULL;
        size_t n;
        FILE *file = open_memstream(&text, &n);

        if (!file)
                return NULL;
        (void)fputs(one ? "{{ " : "", file);
        expr_print_node(file, expr->root, 0);
        (void)fputs(one ? " }}" : "", file);
        /* A text stays one. */
        if (expr->is_any && !one && fflush(file) == 0 && memchr(text, '{', n))
                (void)fputs("{{ \"\" }}", file);
        if (fclose(file) == 0)
                return text;
        free(text);
        return NULL;
}

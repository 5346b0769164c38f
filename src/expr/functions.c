/* SPDX-License-Identifier: MIT */

/* The functions. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expr/compile.h"
#include "expr/out.h"
#include "expr/value.h"

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_whole(double n, double most)
{
        return n >= 0 && n <= most && trunc(n) == n;
}

/* A constant that is wrong is a mistake when the text is compiled. */
static bool is_wrong_constant(const struct expr_node *node, double most)
{
        return node->op == &expr_op_constant && node->value.kind == EXPR_NUMBER &&
               !is_whole(node->value.number, most);
}

static bool is_start(char c)
{
        return ((unsigned char)c & 0xc0) != 0x80;
}

/* --- default --- */

static bool default_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *type = &node->args[0]->type;

        if (type->kind == EXPR_TEXT) {
                node->type = *type;
                return expr_check_kind(compiler, node, node->args[1], EXPR_TEXT);
        }
        if (type->kind == EXPR_ANY || type->kind == EXPR_NULL)
                return true;
        return expr_wrong(compiler, node->args[0]->place,
                          "default is for texts and what a Struct has; %s always has a value",
                          expr_type_name(type).text);
}

static int default_run(struct expr_machine *machine, const struct expr_node *node,
                       const struct expr_value *args, struct expr_value *ret)
{
        bool missing = expr_is_null(&args[0]) || (args[0].kind == EXPR_TEXT && args[0].n == 0);

        *ret = missing ? args[1] : args[0];
        if (expr_value_fits(ret, &node->type))
                return 0;
        return expr_fail(machine, node->args[1], -EINVAL, "default needs a text, this is %s",
                         expr_kind_name(ret->kind));
}

/* --- escape --- */

static const char *entity(char c)
{
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        case '\'':
                return "&#39;";
        default:
                return NULL;
        }
}

static int escape_run(struct expr_machine *machine, const struct expr_node *node,
                      const struct expr_value *args, struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        const char *s = args[0].text;
        size_t done = 0;
        int r = 0;

        for (size_t i = 0; r == 0 && i < args[0].n; i++) {
                if (!entity(s[i]))
                        continue;
                r = expr_out_add(&out, s + done, i - done);
                if (r == 0)
                        r = expr_out_add(&out, entity(s[i]), strlen(entity(s[i])));
                done = i + 1;
        }
        if (r == 0)
                r = expr_out_add(&out, s + done, args[0].n - done);
        *ret = expr_out_end(&out);
        return r;
}

/* --- markdown --- */

/* The bytes at the beginning of a text that would make it a heading, a list or a line: "12." */
static size_t marker_end(const char *s, size_t n)
{
        size_t i = 0;

        while (i < n && s[i] >= '0' && s[i] <= '9')
                i++;
        return i < n && strchr(i > 0 ? ".)" : "#+-=:", s[i]) && s[i] ? i + 1 : 0;
}

/* Whether the character makes an address of a web page, which would be a link and show the
 * backslashes in it: "https://" and "www." */
static bool makes_link(const char *s, size_t n, size_t i)
{
        if (s[i] == ':')
                return n - i > 2 && s[i + 1] == '/' && s[i + 2] == '/';
        return s[i] == '.' && i >= 3 && memcmp(s + i - 3, "www", 3) == 0;
}

/* White space becomes one space, line breaks as well; what means something gets a backslash. */
static int markdown_char(struct expr_out *out, const char *s, size_t n, size_t i, size_t marker)
{
        int r = 0;

        if (is_space(s[i]))
                return is_space(s[i - 1]) ? 0 : expr_out_add(out, " ", 1);
        if (i + 1 == marker || makes_link(s, n, i) || (s[i] && strchr("\\`*_[]<>|~&\"", s[i])))
                r = expr_out_add(out, "\\", 1);
        return r == 0 ? expr_out_add(out, &s[i], 1) : r;
}

static int markdown_run(struct expr_machine *machine, const struct expr_node *node,
                        const struct expr_value *args, struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        const char *s = args[0].text;
        size_t n = args[0].n, i = 0, marker;
        int r = 0;

        while (i < n && is_space(s[i]))
                i++;
        while (n > i && is_space(s[n - 1]))
                n--;
        marker = marker_end(s + i, n - i);
        marker += marker > 0 ? i : 0;
        for (; r == 0 && i < n; i++)
                r = markdown_char(&out, s, n, i, marker);
        *ret = expr_out_end(&out);
        return r;
}

/* --- join, json --- */

static bool join_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *type = &node->args[0]->type;

        if (type->of != EXPR_MESSAGE && type->of != EXPR_LIST)
                return true;
        return expr_wrong(compiler, node->args[0]->place,
                          "join is for texts and numbers; for %s write {%% for %%}",
                          expr_type_name(type).text);
}

static int join_run(struct expr_machine *machine, const struct expr_node *node,
                    const struct expr_value *args, struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        int r = 0;

        for (size_t i = 0; r == 0 && i < args[0].n; i++) {
                struct expr_value item = expr_element(&args[0], i);

                if (i > 0 && node->n_args == 2)
                        r = expr_out_add(&out, args[1].text, args[1].n);
                if (r == 0)
                        r = expr_out_add_value(&out, &item);
                if (r == 0)
                        r = expr_charge(machine, node, 0);
        }
        *ret = expr_out_end(&out);
        return r;
}

static int json_run(struct expr_machine *machine, const struct expr_node *node,
                    const struct expr_value *args, struct expr_value *ret)
{
        struct expr_out out = { .machine = machine, .node = node };
        int r = expr_out_add_json(&out, &args[0]);

        *ret = expr_out_end(&out);
        return r;
}

/* --- length --- */

static bool length_check(struct expr_compiler *compiler, struct expr_node *node)
{
        const struct expr_type *type = &node->args[0]->type;

        if (type->kind == EXPR_ANY || type->kind == EXPR_TEXT || type->kind == EXPR_LIST ||
            (type->kind == EXPR_MESSAGE && expr_is_struct(type->message)))
                return true;
        return expr_wrong(compiler, node->args[0]->place,
                          "length is for texts, lists and Structs, this is %s",
                          expr_type_name(type).text);
}

static size_t characters(const struct expr_value *text)
{
        size_t n = 0;

        for (size_t i = 0; i < text->n; i++)
                n += is_start(text->text[i]);
        return n;
}

static int length_run(struct expr_machine *machine, const struct expr_node *node,
                      const struct expr_value *args, struct expr_value *ret)
{
        const struct expr_value *value = &args[0];

        if (expr_is_null(value))
                *ret = expr_number(0);
        else if (value->kind == EXPR_TEXT)
                *ret = expr_number((double)characters(value));
        else if (value->kind == EXPR_LIST)
                *ret = expr_number((double)value->n);
        else if (value->kind == EXPR_MESSAGE && expr_is_struct(value->message->descriptor))
                *ret = expr_number((double)expr_struct_size(value->message));
        else
                return expr_fail(machine, node->args[0], -EINVAL,
                                 "length is for texts, lists and Structs, this is %s",
                                 expr_kind_name(value->kind));
        return expr_charge(machine, node, value->kind == EXPR_TEXT ? value->n : 0);
}

/* --- lower, upper, trim, truncate --- */

static int map_letters(struct expr_machine *machine, const struct expr_node *node,
                       const struct expr_value *text, char first, struct expr_value *ret)
{
        char *copy = expr_alloc(machine, text->n + 1);
        int r = expr_charge(machine, node, text->n);

        if (!copy || r < 0)
                return r < 0 ? r : -ENOMEM;
        for (size_t i = 0; i < text->n; i++) {
                char c = text->text[i];

                copy[i] = c >= first && c < first + 26 ? (char)(c ^ 0x20) : c;
        }
        *ret = expr_text_n(copy, text->n);
        return 0;
}

static int lower_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        return map_letters(machine, node, &args[0], 'A', ret);
}

static int upper_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        return map_letters(machine, node, &args[0], 'a', ret);
}

static int trim_run(struct expr_machine *machine, const struct expr_node *node,
                    const struct expr_value *args, struct expr_value *ret)
{
        const char *s = args[0].text, *end = s + args[0].n;

        while (s < end && is_space(*s))
                s++;
        while (s < end && is_space(end[-1]))
                end--;
        *ret = expr_text_n(s, (size_t)(end - s));
        return expr_charge(machine, node, args[0].n - ret->n);
}

static const char characters_wrong[] = "truncate needs a number of characters, 0 or more";

static bool truncate_check(struct expr_compiler *compiler, struct expr_node *node)
{
        if (is_wrong_constant(node->args[1], HUGE_VAL))
                return expr_wrong(compiler, node->args[1]->place, "%s", characters_wrong);
        return true;
}

static int truncate_run(struct expr_machine *machine, const struct expr_node *node,
                        const struct expr_value *args, struct expr_value *ret)
{
        double left = args[1].number;
        size_t i = 0;

        if (!is_whole(left, HUGE_VAL))
                return expr_fail(machine, node->args[1], -EINVAL, "%s", characters_wrong);
        for (; i < args[0].n; i++)
                if (is_start(args[0].text[i]) && left-- == 0)
                        break;
        *ret = expr_text_n(args[0].text, i);
        return expr_charge(machine, node, i);
}

/* --- round --- */

enum { DIGITS_MAX = 15 };

static const char digits_wrong[] = "round needs a number of digits from 0 to 15";

static bool round_check(struct expr_compiler *compiler, struct expr_node *node)
{
        if (node->n_args == 2 && is_wrong_constant(node->args[1], DIGITS_MAX))
                return expr_wrong(compiler, node->args[1]->place, "%s", digits_wrong);
        return true;
}

static int round_run(struct expr_machine *machine, const struct expr_node *node,
                     const struct expr_value *args, struct expr_value *ret)
{
        double digits = node->n_args == 2 ? args[1].number : 0, scale, n;

        if (!is_whole(digits, DIGITS_MAX))
                return expr_fail(machine, node->args[1], -EINVAL, "%s", digits_wrong);
        scale = pow(10, digits);
        n = round(args[0].number * scale) / scale;
        *ret = expr_number(isfinite(n) ? n : args[0].number);
        return 0;
}

static const struct expr_op functions[] = {
        { .name = "default",
          .min_args = 2,
          .max_args = 2,
          .check = default_check,
          .run = default_run },
        { .name = "escape",
          .escapes = true,
          .min_args = 1,
          .max_args = 1,
          .params = { EXPR_TEXT },
          .result = EXPR_TEXT,
          .run = escape_run },
        { .name = "join",
          .keeps = true,
          .min_args = 1,
          .max_args = 2,
          .params = { EXPR_LIST, EXPR_TEXT },
          .result = EXPR_TEXT,
          .check = join_check,
          .run = join_run },
        { .name = "json",
          .escapes = true,
          .min_args = 1,
          .max_args = 1,
          .result = EXPR_TEXT,
          .run = json_run },
        { .name = "length",
          .min_args = 1,
          .max_args = 1,
          .result = EXPR_NUMBER,
          .check = length_check,
          .run = length_run },
        { .name = "lower",
          .min_args = 1,
          .max_args = 1,
          .params = { EXPR_TEXT },
          .result = EXPR_TEXT,
          .run = lower_run },
        { .name = "markdown",
          .escapes = true,
          .min_args = 1,
          .max_args = 1,
          .params = { EXPR_TEXT },
          .result = EXPR_TEXT,
          .run = markdown_run },
        { .name = "round",
          .min_args = 1,
          .max_args = 2,
          .params = { EXPR_NUMBER, EXPR_NUMBER },
          .result = EXPR_NUMBER,
          .check = round_check,
          .run = round_run },
        { .name = "trim",
          .min_args = 1,
          .max_args = 1,
          .params = { EXPR_TEXT },
          .result = EXPR_TEXT,
          .run = trim_run },
        { .name = "truncate",
          .min_args = 2,
          .max_args = 2,
          .params = { EXPR_TEXT, EXPR_NUMBER },
          .result = EXPR_TEXT,
          .check = truncate_check,
          .run = truncate_run },
        { .name = "upper",
          .min_args = 1,
          .max_args = 1,
          .params = { EXPR_TEXT },
          .result = EXPR_TEXT,
          .run = upper_run },
};

const struct expr_op *expr_function_at(size_t index)
{
        return index < sizeof functions / sizeof *functions ? &functions[index] : NULL;
}

const struct expr_op *expr_function(const char *name, size_t length)
{
        for (size_t i = 0; expr_function_at(i); i++)
                if (strlen(functions[i].name) == length &&
                    memcmp(functions[i].name, name, length) == 0)
                        return &functions[i];
        return NULL;
}

/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as an expression and as a template: a mistake has a place in the text and a reason;
 * what compiles runs within its bounds; what is printed compiles to the same, prints the same, and
 * runs to the same.
 */

#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../unit/expr-scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 20000, OUTPUT = 65536 };

typedef int compile_fn(const char *text, size_t length, const struct expr_scope *scope,
                       const struct expr_type *want, struct expr **ret,
                       struct expr_mistake *mistake);

static struct expr_world world;

static void check_mistake(const struct expr_mistake *mistake, const char *text, size_t length)
{
        uint32_t lines = 1;

        for (size_t i = 0; i < length; i++)
                lines += text[i] == '\n';
        assert(mistake->line >= 1 && mistake->line <= lines);
        assert(mistake->column >= 1 && mistake->column <= length + 1);
        assert(mistake->text[0]);
}

static int run(const struct expr *expr, struct memory *memory, struct expr_value *ret)
{
        struct expr_run run = {
                .values = world.values,
                .alloc = memory_alloc,
                .user = memory,
                .steps = STEPS,
                .output = OUTPUT,
        };
        struct expr_mistake mistake = { 0 };
        int r = expr_run(expr, &run, ret, &mistake);

        assert(r == 0 || r == -ENOMEM || (mistake.line >= 1 && mistake.text[0]));
        assert(r < 0 || ret->kind != EXPR_ANY);
        assert(r < 0 || ret->kind != EXPR_TEXT || ret->n <= OUTPUT || !ret->n || ret->text);
        return r;
}

static void check_same(const struct expr *a, const struct expr *b)
{
        static struct memory a_memory, b_memory;
        struct expr_value a_value, b_value;
        int r = run(a, &a_memory, &a_value);

        assert(run(b, &b_memory, &b_value) == r);
        if (r == 0) {
                assert(a_value.kind == b_value.kind);
                if (a_value.kind == EXPR_TEXT)
                        assert(a_value.n == b_value.n &&
                               memcmp(a_value.text, b_value.text, a_value.n) == 0);
                if (a_value.kind == EXPR_NUMBER)
                        assert(memcmp(&a_value.number, &b_value.number, sizeof(double)) == 0 ||
                               a_value.number == b_value.number);
                if (a_value.kind == EXPR_BOOL)
                        assert(a_value.truth == b_value.truth);
        }
        memory_free(&a_memory);
        memory_free(&b_memory);
}

static void try(compile_fn *compile, const struct expr_type *want, const char *text, size_t length)
{
        struct expr *expr = NULL, *again = NULL;
        struct expr_mistake mistake;
        char *printed, *twice;
        int r = compile(text, length, &expr_scope, want, &expr, &mistake);

        if (r < 0) {
                assert(!expr);
                if (r == -EINVAL)
                        check_mistake(&mistake, text, length);
                return;
        }
        printed = expr_print(expr);
        assert(printed);
        r = compile(printed, strlen(printed), &expr_scope, want, &again, &mistake);
        if (r < 0)
                fprintf(stderr, "%s\n%u:%u: %s\n", printed, mistake.line, mistake.column,
                        mistake.text);
        assert(r == 0);
        twice = expr_print(again);
        assert(twice && strcmp(printed, twice) == 0);
        check_same(expr, again);
        free(printed);
        free(twice);
        expr_free(again);
        expr_free(expr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct expr_type any = { .kind = EXPR_ANY }, boolean = { .kind = EXPR_BOOL };

        if (!world.data.fields)
                expr_fill(&world);
        if (size > 4096)
                return 0;
        try(expr_compile, NULL, (const char *)data, size);
        try(expr_compile_template, NULL, (const char *)data, size);
        try(expr_compile_template, &any, (const char *)data, size);
        try(expr_compile_template, &boolean, (const char *)data, size);
        return 0;
}

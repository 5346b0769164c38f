/* SPDX-License-Identifier: MIT */
#include "expr/compile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expr/value.h"

struct expr_block {
        struct expr_block *next;
        max_align_t data[];
};

struct expr *expr_free(struct expr *expr)
{
        struct expr_block *next;

        for (struct expr_block *block = expr ? expr->blocks : NULL; block; block = next) {
                next = block->next;
                free(block);
        }
        free(expr);
        return NULL;
}

struct expr_type expr_type(const struct expr *expr)
{
        return expr->root->type;
}

static void *program_alloc(void *user, size_t size)
{
        struct expr *expr = user;
        struct expr_block *block;

        if (size > EXPR_PROGRAM - expr->size)
                return NULL;
        block = calloc(1, sizeof *block + size);
        if (!block)
                return NULL;
        expr->size += size;
        block->next = expr->blocks;
        expr->blocks = block;
        return block->data;
}

void *expr_compiler_alloc(struct expr_compiler *compiler, size_t size)
{
        void *p = program_alloc(compiler->expr, size);

        if (!p && compiler->error == 0)
                compiler->error = -ENOMEM;
        return p;
}

void *expr_wrong(struct expr_compiler *compiler, struct expr_place place, const char *format, ...)
{
        va_list args;

        if (compiler->error < 0)
                return NULL;
        compiler->error = -EINVAL;
        compiler->mistake->line = place.line;
        compiler->mistake->column = place.column;
        va_start(args, format);
        (void)vsnprintf(compiler->mistake->text, sizeof compiler->mistake->text, format, args);
        va_end(args);
        return NULL;
}

void expr_advance(struct expr_compiler *compiler)
{
        compiler->token = expr_lex(&compiler->lexer);
        if (compiler->token.kind == EXPR_TOKEN_WRONG && compiler->error == 0)
                compiler->error = -EINVAL;
}

bool expr_accept(struct expr_compiler *compiler, const char *word)
{
        if (!expr_token_is(&compiler->token, word))
                return false;
        expr_advance(compiler);
        return compiler->error == 0;
}

bool expr_expect(struct expr_compiler *compiler, const char *word, const char *advice)
{
        if (expr_accept(compiler, word))
                return true;
        (void)expr_wrong(compiler, compiler->token.place, "expected '%s' here: %s", word, advice);
        return false;
}

bool expr_enter(struct expr_compiler *compiler)
{
        if (compiler->depth == EXPR_DEPTH) {
                (void)expr_wrong(compiler, compiler->token.place,
                                 "this is nested deeper than %d: make it simpler", EXPR_DEPTH);
                return false;
        }
        compiler->depth++;
        return true;
}

void expr_leave(struct expr_compiler *compiler)
{
        compiler->depth--;
}

bool expr_nodes_add(struct expr_compiler *compiler, struct expr_nodes *nodes,
                    struct expr_node *node)
{
        struct expr_node **grown;

        if (!node)
                return false;
        if (nodes->n == nodes->size) {
                nodes->size = nodes->size ? nodes->size * 2 : 4;
                grown = expr_compiler_alloc(compiler, nodes->size * sizeof *grown);
                if (!grown)
                        return false;
                if (nodes->n > 0)
                        memcpy(grown, nodes->nodes, nodes->n * sizeof *grown);
                nodes->nodes = grown;
        }
        nodes->nodes[nodes->n++] = node;
        return true;
}

enum expr_trust expr_trust_in(const struct expr_type *type, enum expr_trust trust)
{
        return type->kind == EXPR_BOOL || type->kind == EXPR_NUMBER ? EXPR_OWN : trust;
}

/* What is cut out of an escaped text is escaped no more. */
static enum expr_trust trust_in_arg(const struct expr_op *op, const struct expr_node *arg)
{
        return arg->trust == EXPR_ESCAPED && !op->keeps ? EXPR_FOREIGN : arg->trust;
}

struct expr_node *expr_node_raw(struct expr_compiler *compiler, const struct expr_op *op,
                                struct expr_place place, struct expr_node *const *args,
                                size_t n_args)
{
        struct expr_node *node = expr_compiler_alloc(compiler, sizeof *node);

        if (!node)
                return NULL;
        *node = (struct expr_node){
                .op = op,
                .type = { .kind = op->result },
                .place = place,
                .n_args = (uint32_t)n_args,
        };
        if (n_args > 0) {
                node->args = expr_compiler_alloc(compiler, n_args * sizeof(*node->args));
                if (!node->args)
                        return NULL;
        }
        for (size_t i = 0; i < n_args; i++) {
                node->args[i] = args[i];
                if (trust_in_arg(op, args[i]) > node->trust)
                        node->trust = trust_in_arg(op, args[i]);
                if (args[i]->height >= node->height)
                        node->height = args[i]->height + 1;
        }
        if (node->height > EXPR_DEPTH)
                return expr_wrong(compiler, place, "this is nested deeper than %d: make it simpler",
                                  EXPR_DEPTH);
        return node;
}

static struct expr_type type_of_value(const struct expr_value *value)
{
        return (struct expr_type){ .kind = value->kind };
}

struct expr_node *expr_node_constant(struct expr_compiler *compiler, struct expr_place place,
                                     struct expr_value value)
{
        struct expr_node *node = expr_node_raw(compiler, &expr_op_constant, place, NULL, 0);

        if (node) {
                node->value = value;
                node->type = type_of_value(&value);
        }
        return node;
}

bool expr_check_kind(struct expr_compiler *compiler, const struct expr_node *node,
                     const struct expr_node *arg, enum expr_kind want)
{
        if (want == EXPR_ANY || arg->type.kind == EXPR_ANY || arg->type.kind == want)
                return true;
        (void)expr_wrong(compiler, arg->place, "%s needs %s, this is %s", node->op->name,
                         expr_kind_name(want), expr_type_name(&arg->type).text);
        return false;
}

static bool check(struct expr_compiler *compiler, struct expr_node *node)
{
        for (size_t i = 0; i < node->n_args && i < EXPR_ARGS; i++)
                if (!expr_check_kind(compiler, node, node->args[i], node->op->params[i]))
                        return false;
        if (node->op->check && !node->op->check(compiler, node))
                return false;
        if (node->op->escapes && node->trust == EXPR_FOREIGN)
                node->trust = EXPR_ESCAPED;
        node->trust = expr_trust_in(&node->type, node->trust);
        return true;
}

static bool is_constant(const struct expr_node *node)
{
        if (node->op->emit || node->n_args == 0)
                return false;
        for (size_t i = 0; i < node->n_args; i++)
                if (node->args[i]->op != &expr_op_constant)
                        return false;
        return true;
}

/* Replaces a node whose arguments are all constant by its value. The type stays, because the value
 * of a list does not say the type of its elements. */
static struct expr_node *fold(struct expr_compiler *compiler, struct expr_node *node)
{
        struct expr_value value;
        int r = expr_run_node(&compiler->fold, node, &value);

        if (r < 0) {
                if (compiler->error == 0)
                        compiler->error = r == -ENOMEM ? r : -EINVAL;
                return NULL;
        }
        node->op = &expr_op_constant;
        node->n_args = 0;
        node->height = 0;
        node->value = value;
        if (node->type.kind == EXPR_ANY)
                node->type = type_of_value(&value);
        return node;
}

struct expr_node *expr_node(struct expr_compiler *compiler, const struct expr_op *op,
                            struct expr_place place, struct expr_node *const *args, size_t n_args)
{
        struct expr_node *node = expr_node_raw(compiler, op, place, args, n_args);

        if (!node || !check(compiler, node))
                return NULL;
        return is_constant(node) ? fold(compiler, node) : node;
}

/* Only UTF-8 without NUL comes in, so that only UTF-8 comes out. */
static bool check_source(struct expr_compiler *compiler, const char *text, size_t length)
{
        struct expr_lexer lexer;

        if (length > EXPR_SOURCE)
                return expr_wrong(compiler, (struct expr_place){ 1, 1 },
                                  "the text is longer than %d bytes", EXPR_SOURCE);
        expr_lexer_init(&lexer, text, length, false, compiler->mistake);
        if (!expr_lex_is_text(&lexer))
                return expr_wrong(compiler, lexer.place,
                                  "there is a byte here that is no text in UTF-8: remove it");
        return true;
}

static bool want_type(struct expr_compiler *compiler, const struct expr_node *root,
                      const struct expr_type *want)
{
        if (!want || expr_type_fits(&root->type, want))
                return true;
        return expr_wrong(compiler, root->place, "%s is needed here, this is %s",
                          expr_type_name(want).text, expr_type_name(&root->type).text);
}

static int compile(struct expr_compiler *compiler, const char *text, size_t length,
                   const struct expr_type *want,
                   struct expr_node *(*parse)(struct expr_compiler *compiler,
                                              const struct expr_type *want))
{
        struct expr_node *root;

        if (!check_source(compiler, text, length))
                return compiler->error;
        expr_lexer_init(&compiler->lexer, text, length, compiler->expr->is_template,
                        compiler->mistake);
        compiler->fold_run = (struct expr_run){ .alloc = program_alloc, .user = compiler->expr };
        compiler->fold = (struct expr_machine){
                .run = &compiler->fold_run,
                .steps = EXPR_STEPS,
                .output = EXPR_OUTPUT,
                .mistake = compiler->mistake,
        };
        root = parse(compiler, want);
        if (compiler->error < 0 || !root || !want_type(compiler, root, want))
                return compiler->error < 0 ? compiler->error : -EINVAL;
        compiler->expr->root = root;
        if (want) {
                compiler->expr->want = *want;
                compiler->expr->is_any = compiler->expr->is_template && want->kind == EXPR_ANY;
        }
        return 0;
}

static struct expr_node *parse_whole(struct expr_compiler *compiler, const struct expr_type *want)
{
        struct expr_node *node;

        expr_advance(compiler);
        if (compiler->token.kind == EXPR_TOKEN_END)
                return expr_wrong(compiler, compiler->token.place,
                                  "there is nothing here: write an expression");
        node = expr_parse(compiler);
        if (node && compiler->token.kind != EXPR_TOKEN_END)
                return expr_wrong(compiler, compiler->token.place,
                                  "expected an operator or the end before '%.*s'",
                                  expr_token_shown(&compiler->token), compiler->token.ptr);
        return node;
}

static int start(const char *text, size_t length, const struct expr_scope *scope,
                 const struct expr_type *want, bool is_template, struct expr **ret,
                 struct expr_mistake *mistake)
{
        struct expr_compiler *compiler = calloc(1, sizeof *compiler);
        struct expr *expr = calloc(1, sizeof *expr);
        int r = -ENOMEM;

        *mistake = (struct expr_mistake){ .line = 1, .column = 1 };
        if (compiler && expr) {
                expr->is_template = is_template;
                compiler->expr = expr;
                compiler->scope = scope;
                compiler->mistake = mistake;
                r = compile(compiler, text, length, want,
                            is_template ? expr_parse_template : parse_whole);
        }
        free(compiler);
        if (r < 0)
                expr = expr_free(expr);
        else
                *ret = expr;
        return r;
}

int expr_compile(const char *text, size_t length, const struct expr_scope *scope,
                 const struct expr_type *want, struct expr **ret, struct expr_mistake *mistake)
{
        return start(text, length, scope, want, false, ret, mistake);
}

int expr_compile_template(const char *text, size_t length, const struct expr_scope *scope,
                          const struct expr_type *want, struct expr **ret,
                          struct expr_mistake *mistake)
{
        return start(text, length, scope, want, true, ret, mistake);
}

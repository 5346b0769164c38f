/* SPDX-License-Identifier: MIT */
#pragma once

/* What compiling keeps in mind, for the parser, the templates and the checks of operations. */

#include "expr/lex.h"

struct expr_variable { /* of a {% for %} that is around */
        const char *name;
        size_t length;
        struct expr_type type;
        enum expr_trust trust;
};

struct expr_compiler {
        struct expr *expr; /* owns all memory of the program */
        const struct expr_scope *scope;
        struct expr_mistake *mistake;
        struct expr_lexer lexer;
        struct expr_token token; /* the next one, not yet used */
        struct expr_variable variables[EXPR_DEPTH];
        uint32_t n_variables;
        uint32_t depth;
        int error; /* 0, -EINVAL: there is a mistake; -ENOMEM */
        struct expr_run fold_run;
        struct expr_machine fold;
};

/* Sets the mistake, unless there is one. Returns NULL. */
void *expr_wrong(struct expr_compiler *compiler, struct expr_place place, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void *expr_compiler_alloc(struct expr_compiler *compiler, size_t size);

void expr_advance(struct expr_compiler *compiler);
/* Skips the token if it is this word or symbol. */
bool expr_accept(struct expr_compiler *compiler, const char *word);
bool expr_expect(struct expr_compiler *compiler, const char *word, const char *advice);

/* Bound the recursion of the parser. expr_enter(): false: nested too deep. */
bool expr_enter(struct expr_compiler *compiler);
void expr_leave(struct expr_compiler *compiler);

/* The parser of expressions. NULL: there is a mistake, or no memory. */
struct expr_node *expr_parse(struct expr_compiler *compiler);
/* The whole of a template. want may be NULL. */
struct expr_node *expr_parse_template(struct expr_compiler *compiler, const struct expr_type *want);

/* A node with its arguments, which it checks and, if all are constant, folds. */
struct expr_node *expr_node(struct expr_compiler *compiler, const struct expr_op *op,
                            struct expr_place place, struct expr_node *const *args, size_t n_args);
/* The same without check and folding, for a node that still lacks something. */
struct expr_node *expr_node_raw(struct expr_compiler *compiler, const struct expr_op *op,
                                struct expr_place place, struct expr_node *const *args,
                                size_t n_args);
struct expr_node *expr_node_constant(struct expr_compiler *compiler, struct expr_place place,
                                     struct expr_value value);

/* The trust in a value of this type that is made of others: numbers and truth values have no text.
 */
enum expr_trust expr_trust_in(const struct expr_type *type, enum expr_trust trust);

/* A list of nodes that grows. */
struct expr_nodes {
        struct expr_node **nodes;
        size_t n;
        size_t size;
};
bool expr_nodes_add(struct expr_compiler *compiler, struct expr_nodes *nodes,
                    struct expr_node *node); /* false: node is NULL, or no memory */

/* Whether the argument is of this kind, as far as is known; false: a mistake has been made. */
bool expr_check_kind(struct expr_compiler *compiler, const struct expr_node *node,
                     const struct expr_node *arg, enum expr_kind want);

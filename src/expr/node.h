/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What an expression is inside: a tree of nodes, each with its operation. An operation is defined
 * once, as a struct expr_op: its name, how its arguments are checked, how it runs, how it is
 * printed. Folding is running at compile time. No tree is higher than EXPR_DEPTH, so recursion
 * over it is bounded.
 */

#include <errno.h>
#include <stdio.h>

#include "expr/expr.h"

enum {
        EXPR_DEPTH = 100,                 /* of nested expressions and blocks */
        EXPR_SOURCE = 1024 * 1024,        /* bytes of a text to compile */
        EXPR_PROGRAM = 128 * 1024 * 1024, /* bytes of a program: its nodes and folded constants */
        EXPR_ARGS = 3,                    /* of an operation whose arguments are run before it */
};

enum { /* how tightly operators bind */
       EXPR_OR = 1,
       EXPR_AND,
       EXPR_NOT,
       EXPR_COMPARISON,
       EXPR_SUM,
       EXPR_SIGN,
       EXPR_PRIMARY,
};

enum expr_trust { /* how much of what an untrusted name says is in a value */
                  EXPR_OWN,
                  EXPR_ESCAPED, /* by json() or escape(), and nothing has been done to it since */
                  EXPR_FOREIGN,
};

struct expr_place {
        uint32_t line;
        uint32_t column;
};

struct expr_node {
        const struct expr_op *op;
        struct expr_type type;
        struct expr_place place;
        uint32_t height;
        uint32_t n_args;
        struct expr_node **args;
        union {
                struct expr_value value;               /* expr_op_constant */
                const ProtobufCFieldDescriptor *field; /* expr_op_field */
                const struct expr_loop_field *loop;    /* expr_op_loop */
                const char *name;                      /* expr_op_name, _variable, _for */
        };
        enum expr_trust trust;
        uint32_t slot; /* of the name in the scope, or of the loop: how many are around it */
};

struct expr_loop {
        struct expr_value item;
        size_t index;
        size_t n;
};

/* The state of one run. */
struct expr_machine {
        const struct expr_run *run;
        uint64_t steps; /* left */
        size_t output;
        struct expr_loop *loops;
        struct expr_mistake *mistake;
};

struct expr_compiler;
struct expr_out;

struct expr_op {
        const char *name; /* of a function, or an operator's symbol */
        uint8_t min_args;
        uint8_t max_args;
        uint8_t precedence;               /* of an operator; 0: a function or a primary */
        enum expr_kind params[EXPR_ARGS]; /* EXPR_ANY: check() decides */
        enum expr_kind result;            /* check() may set another type */
        bool escapes;                     /* makes foreign text EXPR_ESCAPED */
        bool keeps;                       /* what is escaped stays so */

        /* Optional: what params cannot say. On false there is a mistake. */
        bool (*check)(struct expr_compiler *compiler, struct expr_node *node);

        /* One of these. run() gets its arguments, each of the kind in params; run_node() runs them
         * itself; emit() belongs to templates and writes text. 0 or what expr_run() returns. */
        int (*run)(struct expr_machine *machine, const struct expr_node *node,
                   const struct expr_value *args, struct expr_value *ret);
        int (*run_node)(struct expr_machine *machine, const struct expr_node *node,
                        struct expr_value *ret);
        int (*emit)(struct expr_machine *machine, const struct expr_node *node,
                    struct expr_out *out);

        /* NULL: as a function. */
        void (*print)(FILE *file, const struct expr_node *node);
};

struct expr {
        struct expr_node *root;
        struct expr_type want; /* EXPR_ANY: any */
        uint32_t n_loops;      /* as deep as they nest */
        bool is_template;
        bool is_any; /* a template that may give any type: a single {{ }} is no text */
        size_t size; /* of all blocks */
        struct expr_block *blocks;
};

/* ops.c, functions.c, template.c */
extern const struct expr_op expr_op_constant, expr_op_name, expr_op_variable, expr_op_loop,
        expr_op_field, expr_op_index, expr_op_list, expr_op_not, expr_op_negate, expr_op_template;
const struct expr_op *expr_operator(const char *symbol, size_t length); /* with two operands */
const struct expr_op *expr_function(const char *name, size_t length);
const struct expr_op *expr_function_at(size_t index); /* NULL: past the end */

struct expr_loop_field {
        const char *name;
        enum expr_kind kind;
        struct expr_value (*get)(const struct expr_loop *loop);
};
extern const struct expr_loop_field expr_loop_fields[]; /* ends with a NULL name */

/* run.c */
int expr_run_node(struct expr_machine *machine, const struct expr_node *node,
                  struct expr_value *ret);
/* Count one step and what it looks at. 0 or -E2BIG. */
int expr_charge(struct expr_machine *machine, const struct expr_node *node, size_t bytes);
/* Set the mistake; returns error. */
int expr_fail(struct expr_machine *machine, const struct expr_node *node, int error,
              const char *format, ...) __attribute__((format(printf, 4, 5)));
void *expr_alloc(struct expr_machine *machine, size_t size);

/* print.c */
void expr_print_constant(FILE *file, const struct expr_node *node);
void expr_print_node(FILE *file, const struct expr_node *node, unsigned precedence);
void expr_print_infix(FILE *file, const struct expr_node *node);

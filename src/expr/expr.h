/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The expressions and templates of a configuration: brickd.pipeline(5) describes the language.
 *
 * A text is compiled once, in create(), against a scope that says which names there are and of
 * which type. Every mistake is found then, with its place. The result is constant: any number of
 * threads may run it at once, each with values for the names. A run is bounded in steps and bytes,
 * and takes its memory from the caller.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum expr_kind {
        EXPR_ANY, /* of types only: known when it runs. What a google.protobuf.Struct has in it */
        EXPR_NULL,
        EXPR_BOOL,
        EXPR_NUMBER,
        EXPR_TEXT,
        EXPR_MESSAGE, /* also a google.protobuf.Struct. As a value NULL: not there; its fields then
                         have their defaults */
        EXPR_LIST,
};

struct expr_type {
        enum expr_kind kind;
        enum expr_kind of;                         /* EXPR_LIST: of its elements */
        const ProtobufCMessageDescriptor *message; /* EXPR_MESSAGE, and lists of them */
};

/* The type that values of a field have. kind is EXPR_NULL for those that the language does not
 * have: bytes and enumerations. */
struct expr_type expr_type_of_field(const ProtobufCFieldDescriptor *field);

/* For messages: "a number", "a list of texts", "a GuardResponse". */
struct expr_type_name {
        char text[80];
};
struct expr_type_name expr_type_name(const struct expr_type *type);

struct expr_name {
        const char *name; /* letters, digits, '_'; the first one is no digit */
        struct expr_type type;
        const char *unavailable; /* not NULL: whoever uses it makes this mistake */
        bool untrusted;          /* a template may write what it says only by json() or escape() */
};

/* message.name means message.list[0].field, unless the message has a field `name`. The list and the
 * field must exist. */
struct expr_shorthand {
        const ProtobufCMessageDescriptor *message;
        const char *name;
        const char *list;
        const char *field;
};

struct expr_scope { /* read while a text is compiled, not kept */
        const struct expr_name *names;
        size_t n_names;
        const struct expr_shorthand *shorthands;
        size_t n_shorthands;
};

/* One line that says what is wrong and what to do. It never has any part of a value in it. */
struct expr_mistake {
        uint32_t line;   /* in the text that was compiled; 1 for the first */
        uint32_t column; /* in characters; 1 for the first */
        char text[256];
};

struct expr;

/*
 * Compile an expression (`intent.confidence > 0.8`) or a template (`Hello {{ name }}`). want: the
 * type that the result must have; NULL: any. A template makes a text; where something else is
 * wanted, it must be one {{ }} and nothing besides, which then gives the value itself, or a number,
 * true or false. For EXPR_ANY, one {{ }} gives its value, and everything else a text. 0; -EINVAL:
 * see *mistake; -ENOMEM.
 */
int expr_compile(const char *text, size_t length, const struct expr_scope *scope,
                 const struct expr_type *want, struct expr **ret, struct expr_mistake *mistake);
int expr_compile_template(const char *text, size_t length, const struct expr_scope *scope,
                          const struct expr_type *want, struct expr **ret,
                          struct expr_mistake *mistake);
struct expr *expr_free(struct expr *expr); /* accepts NULL; returns NULL */

struct expr_type expr_type(const struct expr *expr);

/* As text that compiles to the same, constants folded; for free(). NULL: out of memory. */
char *expr_print(const struct expr *expr);

/* false: it is a constant number that a field of this type cannot hold. Other results are known
 * when it runs. */
bool expr_fits_field(const struct expr *expr, const ProtobufCFieldDescriptor *field);

/* A value. What it points to is the caller's, the program's or that of the memory of a run. */
struct expr_value {
        enum expr_kind kind;  /* never EXPR_ANY */
        ProtobufCType stored; /* EXPR_LIST: how the elements lie, unless values is true */
        bool values;          /* EXPR_LIST: its elements are struct expr_value */
        size_t n;             /* bytes of a text, elements of a list */
        union {
                bool truth;
                double number;
                const char *text; /* not NUL-terminated */
                const ProtobufCMessage *message;
                const void *elements;
        };
};

struct expr_value expr_null(void);
struct expr_value expr_bool(bool truth);
struct expr_value expr_number(double number);
struct expr_value expr_text(const char *s); /* NULL: the empty text */
struct expr_value expr_text_n(const char *s, size_t length);
struct expr_value expr_message(const void *message); /* unpacked by protobuf-c, or NULL */

#define EXPR_STEPS 1000000        /* each operation, and each 64 bytes that it looks at */
#define EXPR_OUTPUT (1024 * 1024) /* bytes of one text that a run makes */

struct expr_run {
        const struct expr_value *values; /* for each name of the scope, in its order. An unset one
                                            of a message is expr_message(NULL) */
        void *(*alloc)(void *user, size_t size); /* aligned for any object; NULL: out of memory */
        void *user;
        uint64_t steps; /* 0: EXPR_STEPS */
        size_t output;  /* 0: EXPR_OUTPUT */
};

/*
 * 0; -EINVAL: a value does not fit, see *mistake; -E2BIG: it takes too many steps or makes too long
 * a text, see *mistake; -ENOMEM. *ret lives as long as the program, the values and the memory of
 * alloc().
 */
int expr_run(const struct expr *expr, const struct expr_run *run, struct expr_value *ret,
             struct expr_mistake *mistake);

/*
 * Set a field of a message to a value of the field's type (as expr_compile() has checked it with
 * expr_type_of_field()). Texts are copied; messages and elements are not. What the field had is
 * not freed. 0; -ERANGE: the number does not fit; -EINVAL: another type; -ENOMEM.
 */
int expr_set_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                   const struct expr_value *value, void *(*alloc)(void *user, size_t size),
                   void *user);

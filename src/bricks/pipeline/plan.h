/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The steps of a pipeline, as its options have them: read by plan_read(), checked and compiled by
 * plan_check(). Constant afterwards, for any number of calls at once.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "expr/expr.h"
#include "types.h"

/* The values that expressions know: these, and one of each step that asks a brick. */
enum {
        VALUE_REQUEST,
        VALUE_TEXT,
        VALUE_FIRST,
};

#define STEPS_MAX 64 /* of one pipeline, with those inside others */
#define DEPTH_MAX 8  /* of steps inside steps */

struct step;

enum step_kind {
        STEP_CALL,     /* asks a brick */
        STEP_ANSWER,   /* ends the call with a text */
        STEP_PARALLEL, /* its inner steps run side by side */
        STEP_SEQUENCE, /* its inner steps run one after the other */
};

enum on_error {
        ERROR_FAIL,
        ERROR_SKIP,
        ERROR_ANSWER,
};

/* One field of a request, or one key of a Struct, that an option `set` fills in. */
struct setting {
        const ProtobufCFieldDescriptor *field; /* NULL: a key */
        char *key;
        struct expr *expr;     /* the value; NULL: it is in maps */
        struct settings *maps; /* messages of a list, or one Struct */
        size_t n_maps;
};

struct settings {
        struct setting *items;
        size_t n;
};

/* What a guard step judges and what follows. */
enum judge_hit {
        JUDGE_REFUSE,
        JUDGE_DROP,
        JUDGE_ANSWER,
};

struct judge_plan {
        bool documents; /* instead of the text */
        bool observe;   /* logs what it would have done */
        bool filter;    /* the guard says where and by which rule: it judges in pieces */
        enum judge_hit on_hit;
        char **mask; /* categories and rules whose findings become placeholders */
        size_t n_mask;
};

/* The option `guard`: what watches a text while it is made. */
enum watch_hit {
        WATCH_CUT,
        WATCH_ERROR,
        WATCH_MASK,
};

struct watch_plan {
        struct brick_target *target;
        char *name;
        bool filter; /* the guard judges in pieces; otherwise it is asked about sentences */
        bool observe;
        bool open; /* beyond a limit the text passes; otherwise that is a hit */
        enum watch_hit on_hit;
        size_t hold;  /* bytes */
        uint64_t max; /* nanoseconds for which a text is held; 0: no limit */
        char *message;
};

struct step {
        enum step_kind kind;
        unsigned index;                /* of its state in a run */
        unsigned branch;               /* whose text it reads and replaces, see struct run */
        bool last;                     /* no step comes after it */
        bool named;                    /* by the option `name` */
        const struct brick_node *node; /* during create() only */
        char *name;                    /* of its value, and of its span */
        struct expr *when;             /* NULL: always */
        struct expr *answer;

        const struct step *parent; /* NULL: the pipeline */
        const struct step *next;   /* in the sequence that it is in */
        struct step **inner;
        size_t n_inner;
        struct step *otherwise; /* `else`: a sequence inside this one */

        /* STEP_CALL */
        unsigned value; /* of the names that expressions know */
        uint32_t type;
        const struct type_map *map;
        struct brick_target **targets; /* in order of preference */
        size_t n_targets;
        uint64_t timeout; /* nanoseconds; 0: none */
        enum on_error on_error;
        struct settings set;
        struct judge_plan judge; /* of a guard step */
        struct watch_plan watch; /* target NULL: none */
        bool restore;
        uint64_t documents; /* bits of the steps whose documents it takes */
};

struct plan {
        struct brick_ctx *ctx;
        const char *name; /* of the pipeline, as the log has it */
        uint32_t type;
        const struct type_map *map;
        struct step *root; /* a sequence */
        struct step *steps[STEPS_MAX];
        unsigned n_steps;
        unsigned n_branches;
        unsigned n_values;
        atomic_ulong *observed; /* by step->index: what guards that only observe have found */
};

extern const struct brick_option plan_options[];

/* 0, or a negative errno after node_error() for every mistake. */
int plan_read(struct plan *plan, const struct brick_node *config);
int plan_check(struct plan *plan, const struct brick_node *config);
void plan_done(struct plan *plan);

/* The fields of a request that a node sets, compiled against a scope. Adds a mistake for each that
 * is wrong. 0, -EINVAL or -ENOMEM. */
int settings_read(struct settings *settings, struct brick_ctx *ctx, const struct brick_node *map,
                  const ProtobufCMessageDescriptor *type, const struct expr_scope *scope);
void settings_done(struct settings *settings);

/* Compile a node's text: a template, or an expression. 0, -EINVAL after node_error() or -ENOMEM. */
int plan_compile(struct brick_ctx *ctx, const struct brick_node *node, bool template,
                 const struct expr_scope *scope, const struct expr_type *want, struct expr **ret);

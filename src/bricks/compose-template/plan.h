/* SPDX-License-Identifier: MIT */
#pragma once

/* The options of the brick, checked and compiled. Constant once it is made. */

#include <stdbool.h>

#include "brick-sdk.h"
#include "expr/expr.h"

enum format { FORMAT_MARKDOWN, FORMAT_HTML, FORMAT_TEXT, FORMAT_JSON, FORMATS };

/* The names that templates may use, in the order of their values. */
enum { NAME_DOCUMENTS, NAME_REQUEST, NAME_DOCUMENT, NAME_NUMBER, NAMES };

struct field { /* of a JSON output */
        char *name;
        struct expr *value;
};

struct plan {
        struct brick_ctx *ctx;
        enum format format; /* where the request does not say */
        unsigned extensions;
        size_t max_part;
        size_t max_output;
        struct expr *whole; /* NULL: one part for each document, and these around them */
        struct expr *before, *document, *after;
        struct field *fields; /* none: the documents themselves */
        size_t n_fields;
};

extern const struct brick_option plan_options[];

/* [main] 0, or a negative errno after the mistake has been reported. On failure, *ret is to be
 * freed as well. */
int plan_new(struct brick_ctx *ctx, const struct brick_node *config, struct plan **ret);
struct plan *plan_free(struct plan *plan); /* accepts NULL; returns NULL */

/* The format with this name or media type. false: there is none. */
bool plan_format(const char *name, enum format *ret);
const char *plan_format_name(enum format format);

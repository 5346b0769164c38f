/* SPDX-License-Identifier: MIT */
#pragma once

/* A text that a run makes: it grows in the run's memory, up to the run's limit of output. */

#include "expr/node.h"

struct expr_out {
        struct expr_machine *machine;
        const struct expr_node *node; /* blamed for what goes wrong */
        char *ptr;
        size_t len;
        size_t size;
};

/* 0, -E2BIG or -ENOMEM. */
int expr_out_add(struct expr_out *out, const char *s, size_t n);
/* As {{ }} writes it: nothing for null; lists and messages as JSON. */
int expr_out_add_value(struct expr_out *out, const struct expr_value *value);
int expr_out_add_json(struct expr_out *out, const struct expr_value *value);
struct expr_value expr_out_end(const struct expr_out *out);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Makes the rules and the model of a brick from its options, and reports every mistake in them. */

#include "brick.h"
#include "judge.h"

struct setup {
        struct brick_ctx *ctx;
        struct rules *rules;
        struct linear *model; /* NULL: none */
        struct judge judge;
};

/* self has its ctx, and is zeroed otherwise. 0 or a negative errno; setup_done() in both cases. */
int setup(struct setup *self, const struct brick_node *config);
void setup_done(struct setup *self);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The table of functions that bricks call. */

#include "brick.h"

/* The table itself; every instance gets the same. */
extern const struct brick_host host_table;

/* Runs create() of a brick, for which alone configuration nodes may be read. [main] */
int host_create(struct brick_ctx *ctx, const struct brick_module *brick,
                struct brick_instance **ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The functions that bricks call. */

#include "brick.h"

/* Their table; every instance gets the same. */
extern const struct brick_host host_table;

/* Runs create() of a brick. Only meanwhile may it read configuration nodes. [main] */
int host_create(struct brick_ctx *ctx, const struct brick_module *brick,
                struct brick_instance **ret);

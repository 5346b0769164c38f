/* SPDX-License-Identifier: MIT */
#pragma once

/* What a running brickd says of itself. */

#include <jansson.h>

#include "ctl/ctl.h"

/* Asks quietly, for the time that the user has said, else for `timeout`. 0, or a negative errno as
 * from bus_call(); -ENOENT also when path is NULL. */
int control_status(const struct ctl *ctl, const char *path, int64_t timeout, json_t **ret);

/*
 * The bricks of a status, the counts of all workers added up: a list of { name, type, module,
 * state, in_flight, queued, calls, failures }. NULL: out of memory.
 */
json_t *control_bricks(const json_t *status);

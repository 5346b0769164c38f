/* SPDX-License-Identifier: MIT */
#pragma once

/* What a running brickd says of itself. */

#include <jansson.h>

#include "ctl/ctl.h"

struct file;

/* Runs a command that needs the control socket's path from the configuration. */
int control_with_file(struct ctl *ctl, int (*run)(const struct ctl *ctl, const struct file *file));

/*
 * Asks by a method that answers with a JSON object, "Status" or "Stats"; quietly, for the time that
 * the user has said, else for `timeout`. 0, or a negative errno as from bus_call(); -ENOENT also
 * when path is NULL.
 */
int control_ask(const struct ctl *ctl, const char *path, int64_t timeout, const char *method,
                json_t **ret);

/* Says why; gives the exit status. */
int control_no_answer(const char *path, int r);

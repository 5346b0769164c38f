/* SPDX-License-Identifier: MIT */
#pragma once

/* Asks a running brickd for its status. */

#include <jansson.h>

#include "ctl/ctl.h"
#include "util/clock.h"

struct file;

/* brickd asks its workers before it answers, and waits a moment for them. */
#define CONTROL_TIMEOUT (10 * NSEC_PER_SEC)

struct table_column {
        const char *head;
        const char *key;
};

/* Prints a list of objects as a table with one row per object. */
void control_print_rows(const json_t *list, const struct table_column *columns, size_t n_columns);

/* Runs a command that needs the configuration or the path of the control socket. Returns the exit
 * status. */
int control_with_file(struct ctl *ctl, int (*run)(const struct ctl *ctl, const struct file *file));

/*
 * Calls a method that returns a JSON object, "Status", "Stats" or "Identities". Waits as long as
 * --timeout says, otherwise for `timeout` ns. Prints nothing. 0 or the errno of bus_call(); -ENOENT
 * also if path is NULL.
 */
int control_ask(const struct ctl *ctl, const char *path, int64_t timeout, const char *method,
                json_t **ret);

/* Prints why brickd did not answer; returns the exit status. */
int control_no_answer(const char *path, int r);

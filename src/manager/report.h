/* SPDX-License-Identifier: MIT */
#pragma once

/* Log lines that the journal can find by fields: events by MESSAGE_ID=, mistakes by their place. */

#include <stddef.h>

#include "util/log.h"

/* Logs an event. id: LOG_ID_*; brick: the value of BRICK=, NULL: none. */
void report_event(enum log_level level, const char *id, const char *brick, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/*
 * Logs mistakes of the file `name`, which is CONFIG_FILE=. Those that begin with "NAME:LINE:" get
 * CONFIG_LINE=. On a terminal each is shown as it is, with the quoted line below it.
 */
void report_mistakes(const char *name, char *const *texts, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Log lines with fields: events with MESSAGE_ID=, mistakes with their place. */

#include "util/log.h"

/* Logs an event. id: LOG_ID_*; brick: the value of BRICK=, NULL: none. */
void report_event(enum log_level level, const char *id, const char *brick, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/*
 * Logs a mistake of the file `name`, which becomes CONFIG_FILE=. If the text begins with
 * "NAME:LINE:", the line becomes CONFIG_LINE=. On a terminal the text stands alone.
 */
void report_mistake(const char *name, const char *text);

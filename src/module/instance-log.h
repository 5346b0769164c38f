/* SPDX-License-Identifier: MIT */
#pragma once

/* The lines of the log that a brick can cause: each kind is limited. */

#include <stdbool.h>

#include "util/line-limit.h"

struct instance;

enum instance_line {
        LINE_OWN,    /* its own, by log() */
        LINE_HEALTH, /* its health has changed */
        LINE_MISUSE, /* it has broken a rule of brick.h */
        LINE_SLOW,   /* it has held the polling thread */
        INSTANCE_LINES,
};

struct instance_log {
        struct line_limit limits[INSTANCE_LINES];
};

void instance_log_init(struct instance_log *log);
void instance_log_done(struct instance_log *log);

/* Whether one more line of this kind may be logged now. If not, it is counted. [any] */
bool instance_log_pass(struct instance *instance, enum instance_line kind);

/* Logs the brick's health, unless it has changed too often lately. [any] */
void instance_log_health(struct instance *instance);

/* Logs that a brick has broken a rule of brick.h; `what` is a predicate. NULL: it is not known
 * which brick. [any] */
void instance_blame(struct instance *instance, const char *what);

/* About once a second: logs how many lines have been left out. [main] */
void instance_log_maintain(struct instance *instance);

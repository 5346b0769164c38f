/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Asks the current generation's workers at intervals for an answer, kills those that stay silent,
 * and tells systemd's watchdog that brickd is alive while any worker answers.
 */

#include "util/cleanup.h"

struct manager;
struct watchdog;

int watchdog_new(struct watchdog **ret, struct manager *m);
struct watchdog *watchdog_free(struct watchdog *watchdog);
DEFINE_CLEANUP(struct watchdog *, watchdog_free);

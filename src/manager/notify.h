/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tells systemd, by $NOTIFY_SOCKET, as sd_notify() does, but never waits: with systemd busy for
 * long the socket is full, and workers have to be looked after.
 */

#include <stdbool.h>

struct manager;

/* The main thread. A message for which there is no room is lost. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What serves, and why the last reload failed if it did, in a line; behind `state`, such as
 * "READY=1\n". Nothing before the first generation serves. */
void notify_status(const struct manager *m, const char *state);

/* One has been lost since this was last asked: systemd should be told again how things are. */
bool notify_has_lost(void);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Sends messages to systemd through $NOTIFY_SOCKET, as sd_notify() does, but never blocks: while
 * systemd is busy its socket may be full, and the main process must go on watching the workers.
 */

#include <stdbool.h>

struct manager;

/* [main thread] A message that does not fit into the socket is lost. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sends `state`, such as "READY=1\n", and STATUS=: a line that says what is served and why the last
 * reload failed, if it did. Sends nothing before the first generation serves. */
void notify_status(const struct manager *m, const char *state);

/* A message has been lost since the last call of this: the current state should be sent again. */
bool notify_has_lost(void);

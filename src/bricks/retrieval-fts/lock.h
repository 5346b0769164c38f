/* SPDX-License-Identifier: MIT */
#pragma once

/* One writer at a time: a lock on the index file that readers do not see. */

#include <stdbool.h>

/*
 * Takes the lock on the file at path, which exists. Calls `waiting`, which may be NULL, once if
 * another process has it, and waits for up to LOCK_WAIT_S seconds. Returns a descriptor that holds
 * the lock, or a negative errno; -EBUSY: the other process still has it.
 *
 * Closing any descriptor of the file drops the locks of SQLite in this process, so this one must be
 * closed after the database.
 */
#define LOCK_WAIT_S 600

int lock_take(const char *path, void (*waiting)(const char *path));

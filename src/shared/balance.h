/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many connections each worker of one generation has, in memory that the main process creates
 * and all of them map. The kernel wakes every worker for a new connection; a worker that has more
 * connections than another yields to it, so that all have about as many.
 *
 * A brick may write anything here, and a worker may be stuck. So a worker that yields must not do
 * so for longer than a moment.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

struct balance;

/* [main process] Creates the memory for workers 0 to workers - 1. */
int balance_new(struct balance **ret, unsigned workers);

/* The descriptor to pass to the workers; the balance owns it. */
int balance_fd(const struct balance *balance);

/* [main process] This worker has exited: it has no connections and accepts none. */
void balance_forget(struct balance *balance, unsigned worker);

/* [worker] Maps the memory. -EINVAL: it has no place for this worker. The descriptor stays the
 * caller's. */
int balance_open(struct balance **ret, int fd, unsigned worker);

struct balance *balance_free(struct balance *balance);
DEFINE_CLEANUP(struct balance *, balance_free);

/* [any thread] This worker accepts connections from now on; or it does not, for now. */
void balance_join(struct balance *balance);
void balance_pause(struct balance *balance);

/* [one thread at a time] This worker has so many connections now. */
void balance_count(struct balance *balance, uint32_t connections);

/* [any thread] With so many connections, this worker has more than another one that accepts, by at
 * least one and by more than a sixteenth. */
bool balance_is_ahead(const struct balance *balance, uint32_t connections);

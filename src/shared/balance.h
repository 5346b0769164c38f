/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many connections each worker of one generation has, in memory that the main process makes and
 * all of them map. The kernel wakes every worker for a new connection; one that has more than
 * another leaves it to that one, so that all have about as many. Any worker may write anything
 * here, or be stuck: who asks must not wait for another longer than a moment.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

struct balance;

/* [main process] Makes the memory, for workers from 0 on; its descriptor is for them. */
int balance_new(struct balance **ret, unsigned workers);
int balance_fd(const struct balance *balance);

/* [main process] This worker is gone, and its connections with it. */
void balance_forget(struct balance *balance, unsigned worker);

/* [worker] Maps it. -EINVAL: it is not made for a worker of this number. */
int balance_open(struct balance **ret, int fd, unsigned worker);

struct balance *balance_free(struct balance *balance);
DEFINE_CLEANUP(struct balance *, balance_free);

/* [any] This worker accepts connections from now on, or does not any more. */
void balance_join(struct balance *balance);
void balance_pause(struct balance *balance);

/* [any, one at a time] So many it has now. */
void balance_count(struct balance *balance, uint32_t connections);

/* [any] With so many connections, this worker has more than another that accepts: by one, or by a
 * sixteenth. */
bool balance_is_ahead(const struct balance *balance, uint32_t connections);

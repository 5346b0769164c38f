/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The limits of identities, counted for all workers together, in memory that the main process
 * creates and every worker maps. The memory holds only what cannot be computed anew: for each
 * identity the time of its rate limit, and how many calls each worker has in flight for it. Each
 * worker counts in a row of its own, which the main process assigns, and clears when the worker has
 * exited.
 *
 * A brick may write anything there. Then identities may be refused, or do more than they may, for a
 * while. But no number there is used as an index, and each worker writes only what it has counted
 * itself, so the counts become right again.
 *
 * An identity finds its slot by its key. If all slots are taken, it takes over one that is idle (no
 * calls in flight, and a rate limit that allows a full burst), so that identities may come and go
 * for years. If calls of the former identity begin at that moment, the two share the slot until
 * those calls end: each then counts a few calls of the other.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define QUOTA_IDENTITIES 4096 /* that can have calls in flight at a time */
#define QUOTA_WORKERS 1024    /* processes of all generations */

/* The limits of one identity. Immutable. */
struct quota_limit {
        uint64_t key;         /* of the identity */
        uint64_t interval;    /* ns between requests at its rate; 0: no limit */
        uint64_t burst;       /* ns that requests may be ahead of the rate */
        uint32_t concurrency; /* the most calls in flight; 0: no limit */
};

struct quota;

/* The key of a name: the same in every process. */
uint64_t quota_key(const char *name);

/* rate: requests per second; 0: no limit. burst: how many may arrive at once, at least 1. */
struct quota_limit quota_limit(const char *name, double rate, unsigned burst, unsigned concurrency);

/* [main process] Creates the memory. */
int quota_new(struct quota **ret);

/* The descriptor to pass to the workers; the quota owns it. */
int quota_fd(const struct quota *quota);

/* [main process] Assigns a row to one more worker. -EUSERS: there are too many workers. */
int quota_take_row(struct quota *quota, uint32_t *ret_row);

/* [main process] The worker of this row has exited: its calls count no more. */
void quota_release_row(struct quota *quota, uint32_t row);

/* [worker] Maps the memory, to count in this row. -EINVAL: there is no such row. The descriptor
 * stays the caller's. */
int quota_open(struct quota **ret, int fd, uint32_t row);

struct quota *quota_free(struct quota *quota);
DEFINE_CLEANUP(struct quota *, quota_free);

/*
 * [any thread] Counts a request at `now` (CLOCK_MONOTONIC, ns) against the rate. 0: it is within
 * the rate. Otherwise it is not counted, and this is how many ns later the next one would be.
 */
uint64_t quota_request(struct quota *quota, const struct quota_limit *limit, uint64_t now);

/*
 * [any thread] Counts one more call in flight; the limit must have a concurrency. True: *ret_slot
 * is for quota_release(). False: the identity has as many calls in flight as it may. If workers
 * compete for the last place, all of them may be refused, but never too many admitted.
 */
bool quota_enter(struct quota *quota, const struct quota_limit *limit, uint32_t *ret_slot);
void quota_release(struct quota *quota, uint32_t slot);

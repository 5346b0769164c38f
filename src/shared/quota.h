/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How much each identity may do, counted for all workers together, in memory that the main process
 * makes and every worker maps. Only what cannot be computed anew is there: per identity the time of
 * its rate limit, and how many calls each worker has in flight for it. Each worker counts in a row
 * of its own, which the main process gives out, and clears when the worker is gone.
 *
 * A brick may write anything there: identities may then be refused, or do more than they may, for a
 * while. But no number there is an index, and each worker writes what it has counted itself.
 *
 * A slot is found by the identity's key; one that holds nothing any more (no calls, its rate is
 * fresh) is anybody's when all are taken, so that identities may come and go for years. Two
 * identities can meet in a slot for the time of the calls that were under way: they then count a
 * few of each other's, and nothing is lost.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define QUOTA_IDENTITIES 4096 /* that can have calls in flight at a time */
#define QUOTA_WORKERS 1024    /* processes, of all generations */

/* What one identity may do. Immutable. */
struct quota_limit {
        uint64_t key;         /* of the identity */
        uint64_t interval;    /* ns between requests at its rate; 0: no limit */
        uint64_t burst;       /* ns: how far requests may be ahead of the rate */
        uint32_t concurrency; /* calls in flight; 0: no limit */
};

struct quota;

/* The key of a name: the same in every process. */
uint64_t quota_key(const char *name);

/* rate: requests per second; 0: no limit. burst: how many may come at once, at least 1. */
struct quota_limit quota_limit(const char *name, double rate, unsigned burst, unsigned concurrency);

/* [main process] Makes the memory; its descriptor is for the workers. */
int quota_new(struct quota **ret);
int quota_fd(const struct quota *quota);

/* [main process] A row for one more worker. -EUSERS: there are too many. */
int quota_take_row(struct quota *quota, uint32_t *ret_row);

/* [main process] The worker of this row is gone, and its calls with it. */
void quota_release_row(struct quota *quota, uint32_t row);

/* [worker] Maps it, to count in this row. -EINVAL: there is no such row. */
int quota_open(struct quota **ret, int fd, uint32_t row);

struct quota *quota_free(struct quota *quota);
DEFINE_CLEANUP(struct quota *, quota_free);

/*
 * [any] One more request, at `now` of CLOCK_MONOTONIC. 0, and it counts; else it does not, and this
 * is how many ns there are until the next may come.
 */
uint64_t quota_request(struct quota *quota, const struct quota_limit *limit, uint64_t now);

/*
 * [any] One more call in flight, of an identity whose limit has a concurrency. False: there are as
 * many as there may be. Workers that try for the last place at the same moment may all be refused
 * it, but never get more than there are. Else *ret_slot is for quota_release().
 */
bool quota_enter(struct quota *quota, const struct quota_limit *limit, uint32_t *ret_slot);
void quota_release(struct quota *quota, uint32_t slot);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The limits of identities, counted for all workers together, in memory that the main process
 * creates and every worker maps. The memory holds only what cannot be computed anew: for each
 * identity the time of its rate limit, how many calls each worker has in flight for it, the tokens
 * that these calls reserve, and the tokens that its calls have used in each window. Each worker
 * counts calls and reservations in a row of its own, which the main process assigns, and clears
 * when the worker has exited.
 *
 * A brick may write anything there. Then identities may be refused, or do more than they may, for a
 * while. But no number there is used as an index, and each worker writes only what it has counted
 * itself, so the counts become right again; those of used tokens with the next window.
 *
 * An identity finds its slot by its key. If all slots are taken, it takes over one that is idle (no
 * calls in flight, a rate limit that allows a full burst, and no tokens used in a window that has
 * not ended), so that identities may come and go for years. If calls of the former identity begin
 * at that moment, the two share the slot until those calls end: each then counts a few calls of the
 * other.
 */

#include <stdbool.h>
#include <stdint.h>

#include "shared/window.h"
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

/* The most tokens that are counted; more count as this. */
#define QUOTA_TOKENS_MAX ((UINT64_C(1) << 36) - 1)

/* How many tokens one identity may use. Immutable. */
struct quota_budget {
        uint64_t key;             /* of the identity */
        uint64_t limits[WINDOWS]; /* tokens, at most QUOTA_TOKENS_MAX; 0: no limit */
};

/* Why tokens cannot be reserved: of several windows, the one that is the longest in the way. */
struct quota_shortage {
        enum window window;
        uint64_t limit;
        uint64_t left;     /* of the limit; less than was asked for */
        uint64_t reserved; /* by calls that run: what they do not use becomes free */
        int64_t ends;      /* the window, seconds since 1970 */
        enum {
                SHORTAGE_FOREVER,     /* more is asked for than the limit */
                SHORTAGE_OF_WINDOW,   /* until the window ends */
                SHORTAGE_OF_RESERVED, /* until calls that run have used less than they reserve */
        } kind;
};

/* What the calls of an identity have used in a window. */
struct quota_used {
        uint32_t number; /* of the window */
        uint64_t tokens;
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

/* What is left of a limit. */
struct quota_left {
        uint64_t limit, left;
        uint64_t reset; /* ns until all of it is there again, if nothing more is used */
};

/* [any thread] The requests that may come at once at `now` (CLOCK_MONOTONIC, ns). False: the rate
 * has no limit. */
bool quota_requests_left(struct quota *quota, const struct quota_limit *limit, uint64_t now,
                         struct quota_left *ret);

/* [any thread] The tokens that are neither used nor reserved at `now`, seconds since 1970, in the
 * window that has the fewest. False: they have no limit. */
bool quota_tokens_left(struct quota *quota, const struct quota_budget *budget, int64_t now,
                       struct quota_left *ret);

/*
 * [any thread] Reserves n tokens, at most QUOTA_TOKENS_MAX, at `now`, seconds since 1970, if each
 * window has them: then quota_spend() must follow. False: *ret says why not. If workers compete for
 * the last tokens, all of them may be refused, but never too many admitted. A clock that is set
 * back by less than a window does not give the tokens of the window again.
 */
bool quota_reserve(struct quota *quota, const struct quota_budget *budget, uint64_t n, int64_t now,
                   uint32_t *ret_slot, struct quota_shortage *ret);

/* [any thread] The call is over: it has used so many tokens, and reserves those n no more. They
 * count in the windows of `now`. */
void quota_spend(struct quota *quota, uint32_t slot, uint64_t n, uint64_t used, int64_t now);

/* [main process] What an identity has used in the windows of `now`, and what its calls reserve. All
 * of it may be anything up to QUOTA_TOKENS_MAX. */
void quota_get_used(const struct quota *quota, uint64_t key, int64_t now,
                    struct quota_used ret[static WINDOWS], uint64_t *ret_reserved);

/* [main process] What an identity had used before, if nothing has been counted for it since. */
void quota_set_used(struct quota *quota, uint64_t key,
                    const struct quota_used used[static WINDOWS]);

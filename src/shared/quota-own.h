/* SPDX-License-Identifier: MIT */
#pragma once

/* The memory of quota.h, for quota.c and quota-tokens.c. */

#include <pthread.h>
#include <stdatomic.h>

#include "shared/quota.h"

/*
 * All zero at first. Pages that nobody touches take no memory, so the layout keeps the keys and
 * times together, and gives the counts of each identity a page of their own.
 */
struct shared {
        _Atomic uint32_t rows;                    /* a copy of quota->rows for the workers */
        _Atomic uint64_t keys[QUOTA_IDENTITIES];  /* 0: the slot was never used */
        _Atomic uint64_t times[QUOTA_IDENTITIES]; /* of the rate limit: see quota_request() */
        _Atomic uint32_t calls[QUOTA_IDENTITIES][QUOTA_WORKERS];

        /* Of token budgets: what each window's calls have used, and what running ones reserve. */
        _Atomic uint64_t used[QUOTA_IDENTITIES][WINDOWS]; /* 0: nothing was ever counted */
        _Atomic uint64_t reserved[QUOTA_IDENTITIES][QUOTA_WORKERS];
};

struct quota {
        struct shared *shared;
        int fd;

        /* [worker] Its row, and the counts to write there. It never reads them back from the
         * shared memory: a brick of another worker may have written there. */
        uint32_t row;
        uint32_t calls[QUOTA_IDENTITIES];
        uint64_t reserved[QUOTA_IDENTITIES];
        pthread_mutex_t lock; /* for both, here and in the row */

        /* [main process] */
        bool taken[QUOTA_WORKERS]; /* rows of running workers */
        uint32_t rows;             /* every row that was ever taken is below this */
};

/* How many rows there are to read, checked against the bound. */
uint32_t quota_rows(const struct shared *shared);

/* The slot of a key, which is taken if there is none yet. QUOTA_IDENTITIES: all are taken. */
uint32_t quota_find(struct shared *shared, uint64_t key);

/* [worker] If all slots seem taken, a brick may have written into this worker's row: repairs it and
 * tries again. */
uint32_t quota_find_slot(struct quota *quota, uint64_t key);

/* The slot has counted tokens: its row of `reserved` may be other than 0. */
bool quota_has_budget(const struct shared *shared, uint32_t slot);

/* What the slot has counted or reserves is still of use at `now`, seconds since 1970. */
bool quota_holds_tokens(const struct shared *shared, uint32_t slot, int64_t now);

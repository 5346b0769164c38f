/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "shared/memfd.h"
#include "shared/quota-own.h"
#include "util/clock.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share these atomics");

/* FNV-1a. The administrator chooses the names, so nobody can make them collide on purpose. */
uint64_t quota_key(const char *name)
{
        uint64_t key = UINT64_C(0xcbf29ce484222325);

        for (; *name; name++)
                key = (key ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
        return key != 0 ? key : 1;
}

struct quota_limit quota_limit(const char *name, double rate, unsigned burst, unsigned concurrency)
{
        uint64_t interval = rate > 0 ? (uint64_t)((double)NSEC_PER_SEC / rate) : 0;

        return (struct quota_limit){
                .key = quota_key(name),
                .interval = interval,
                .burst = burst > 1 ? (burst - 1) * interval : 0,
                .concurrency = concurrency,
        };
}

static int map(struct quota **ret, int fd)
{
        _cleanup_free_ struct quota *quota = calloc(1, sizeof *quota);
        void *p;
        int r;

        if (!quota)
                return -ENOMEM;
        r = memfd_map(&p, fd, sizeof *quota->shared);
        if (r < 0)
                return r;
        quota->shared = p;
        quota->fd = -EBADF;
        (void)pthread_mutex_init(&quota->lock, NULL);
        *ret = TAKE_PTR(quota);
        return 0;
}

int quota_new(struct quota **ret)
{
        _cleanup_close_ int fd = memfd_share("brickd-quota", sizeof(struct shared));
        struct quota *quota;
        int r;

        if (fd < 0)
                return fd;
        r = map(&quota, fd);
        if (r < 0)
                return r;
        quota->fd = TAKE_FD(fd);
        *ret = quota;
        return 0;
}

int quota_fd(const struct quota *quota)
{
        return quota->fd;
}

int quota_open(struct quota **ret, int fd, uint32_t row)
{
        int r;

        if (row >= QUOTA_WORKERS)
                return -EINVAL;
        r = map(ret, fd);
        if (r == 0)
                (*ret)->row = row;
        return r;
}

struct quota *quota_free(struct quota *quota)
{
        if (!quota)
                return NULL;
        (void)munmap(quota->shared, sizeof *quota->shared);
        (void)close_fd(quota->fd);
        (void)pthread_mutex_destroy(&quota->lock);
        free(quota);
        return NULL;
}

/* Checked against the bound: a brick may have written anything there. */
uint32_t quota_rows(const struct shared *shared)
{
        uint32_t rows = atomic_load(&shared->rows);

        return rows < QUOTA_WORKERS ? rows : QUOTA_WORKERS;
}

/* Does not touch slots that were never used: each would take a page. */
static void clear_row(struct shared *shared, uint32_t row)
{
        for (uint32_t slot = 0; slot < QUOTA_IDENTITIES; slot++) {
                if (atomic_load(&shared->keys[slot]) != 0)
                        atomic_store(&shared->calls[slot][row], 0);
                if (quota_has_budget(shared, slot))
                        atomic_store(&shared->reserved[slot][row], 0);
        }
}

int quota_take_row(struct quota *quota, uint32_t *ret_row)
{
        uint32_t row = 0;

        while (row < QUOTA_WORKERS && quota->taken[row])
                row++;
        if (row == QUOTA_WORKERS)
                return -EUSERS;
        quota->taken[row] = true;
        if (quota->rows <= row)
                quota->rows = row + 1;
        atomic_store(&quota->shared->rows, quota->rows);
        *ret_row = row;
        return 0;
}

/* Clears all free rows: the worker may have written into others than its own. */
void quota_release_row(struct quota *quota, uint32_t row)
{
        quota->taken[row] = false;
        atomic_store(&quota->shared->rows, quota->rows);
        for (row = 0; row < quota->rows; row++)
                if (!quota->taken[row])
                        clear_row(quota->shared, row);
}

/* The calls in flight of one slot, in all workers. */
static uint64_t count(struct shared *shared, uint32_t slot)
{
        uint32_t rows = quota_rows(shared);
        uint64_t n = 0;

        for (uint32_t row = 0; row < rows; row++)
                n += atomic_load_explicit(&shared->calls[slot][row], memory_order_seq_cst);
        return n;
}

/* The largest burst at the lowest rate is 32 years. A time further ahead than this was not counted,
 * but written by a brick. */
#define AHEAD_MAX (UINT64_C(1) << 62)

/* The rate limit allows a full burst. */
static bool is_fresh(uint64_t time, uint64_t now)
{
        return time <= now || time - now > AHEAD_MAX;
}

/* Takes over the slot for this key if it is idle, or has it already. */
static bool take_over(struct shared *shared, uint32_t slot, uint64_t key)
{
        uint64_t owner = atomic_load(&shared->keys[slot]);

        if (owner == key)
                return true;
        /* Not idle: perhaps because another worker has just taken it over for the same key. */
        if (!is_fresh(atomic_load(&shared->times[slot]), clock_now()) || count(shared, slot) > 0 ||
            quota_holds_tokens(shared, slot, time(NULL)))
                return atomic_load(&shared->keys[slot]) == key;
        return atomic_compare_exchange_strong(&shared->keys[slot], &owner, key) || owner == key;
}

/* Usually the first slot that it checks. */
uint32_t quota_find(struct shared *shared, uint64_t key)
{
        uint32_t slot = 0, i;
        uint64_t found;

        for (i = 0; i < QUOTA_IDENTITIES; i++) {
                slot = (uint32_t)((key + i) % QUOTA_IDENTITIES);
                found = atomic_load_explicit(&shared->keys[slot], memory_order_relaxed);
                if (found == 0 && atomic_compare_exchange_strong(&shared->keys[slot], &found, key))
                        return slot;
                if (found == key)
                        return slot;
        }
        for (i = 0; i < QUOTA_IDENTITIES; i++) {
                slot = (uint32_t)((key + i) % QUOTA_IDENTITIES);
                if (take_over(shared, slot, key))
                        return slot;
        }
        return QUOTA_IDENTITIES;
}

/* Writes the whole row again. */
static void write_row(struct quota *quota)
{
        (void)pthread_mutex_lock(&quota->lock);
        for (uint32_t slot = 0; slot < QUOTA_IDENTITIES; slot++) {
                if (atomic_load(&quota->shared->keys[slot]) != 0)
                        atomic_store(&quota->shared->calls[slot][quota->row], quota->calls[slot]);
                if (quota_has_budget(quota->shared, slot))
                        atomic_store(&quota->shared->reserved[slot][quota->row],
                                     quota->reserved[slot]);
        }
        (void)pthread_mutex_unlock(&quota->lock);
}

uint32_t quota_find_slot(struct quota *quota, uint64_t key)
{
        uint32_t slot = quota_find(quota->shared, key);

        if (slot == QUOTA_IDENTITIES) {
                write_row(quota);
                slot = quota_find(quota->shared, key);
        }
        return slot;
}

/*
 * The generic cell rate algorithm. The time of a slot is when the next request would be due if the
 * requests so far had come exactly at the rate. It may be ahead of now by the burst.
 */
uint64_t quota_request(struct quota *quota, const struct quota_limit *limit, uint64_t now)
{
        const uint64_t last = now + limit->burst;
        uint64_t due, from, next;
        _Atomic uint64_t *time;
        uint32_t slot;

        if (limit->interval == 0)
                return 0;
        slot = quota_find_slot(quota, limit->key);
        if (slot == QUOTA_IDENTITIES)
                return NSEC_PER_SEC;
        time = &quota->shared->times[slot];
        due = atomic_load_explicit(time, memory_order_relaxed);
        do {
                from = due > now ? due : now;
                /* It can be further ahead: the limit may have been relaxed since. */
                if (from > last + limit->interval)
                        from = last + limit->interval;
                next = from > last ? from : from + limit->interval;
        } while (next != due &&
                 !atomic_compare_exchange_weak_explicit(time, &due, next, memory_order_relaxed,
                                                        memory_order_relaxed));
        return from > last ? from - last : 0;
}

bool quota_requests_left(struct quota *quota, const struct quota_limit *limit, uint64_t now,
                         struct quota_left *ret)
{
        uint32_t slot = limit->interval > 0 ? quota_find_slot(quota, limit->key) : QUOTA_IDENTITIES;
        uint64_t due, ahead;

        if (slot == QUOTA_IDENTITIES)
                return false;
        due = atomic_load_explicit(&quota->shared->times[slot], memory_order_relaxed);
        ahead = due > now ? due - now : 0;
        *ret = (struct quota_left){
                .limit = limit->burst / limit->interval + 1,
                .left = ahead > limit->burst ? 0 : (limit->burst - ahead) / limit->interval + 1,
                /* More is a clock of another boot, or what a brick has written. */
                .reset = ahead > limit->burst + limit->interval ? limit->burst + limit->interval
                                                                : ahead,
        };
        return true;
}

static void change(struct quota *quota, uint32_t slot, int by)
{
        (void)pthread_mutex_lock(&quota->lock);
        quota->calls[slot] += (uint32_t)by;
        atomic_store(&quota->shared->calls[slot][quota->row], quota->calls[slot]);
        (void)pthread_mutex_unlock(&quota->lock);
}

bool quota_enter(struct quota *quota, const struct quota_limit *limit, uint32_t *ret_slot)
{
        uint32_t slot = quota_find_slot(quota, limit->key);

        if (slot == QUOTA_IDENTITIES)
                return false;
        /* Count first, then check: of two workers at the same moment, at least one sees both. */
        change(quota, slot, 1);
        if (count(quota->shared, slot) > limit->concurrency) {
                change(quota, slot, -1);
                return false;
        }
        *ret_slot = slot;
        return true;
}

void quota_release(struct quota *quota, uint32_t slot)
{
        change(quota, slot, -1);
}

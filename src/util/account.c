/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdint.h>

#include "util/account.h"

#define HELD_FACTOR 4

static atomic_size_t total;
static size_t limit = SIZE_MAX; /* set before there are other threads */

void account_limit(size_t bytes)
{
        limit = bytes;
}

static bool fits(size_t used, size_t bytes, size_t held)
{
        size_t left;

        if (used == 0)
                return true;
        if (used > limit || bytes > limit - used)
                return false;
        left = limit - used - bytes;
        return (held + bytes) / HELD_FACTOR <= left;
}

bool account_take(size_t bytes, size_t held)
{
        size_t used = atomic_load_explicit(&total, memory_order_relaxed);

        do
                if (!fits(used, bytes, held))
                        return false;
        while (!atomic_compare_exchange_weak_explicit(&total, &used, used + bytes,
                                                      memory_order_relaxed, memory_order_relaxed));
        return true;
}

void account_add(size_t bytes)
{
        (void)atomic_fetch_add_explicit(&total, bytes, memory_order_relaxed);
}

void account_give(size_t bytes)
{
        (void)atomic_fetch_sub_explicit(&total, bytes, memory_order_relaxed);
}

size_t account_held(void)
{
        return atomic_load_explicit(&total, memory_order_relaxed);
}

/* SPDX-License-Identifier: MIT */

/* The token budgets of quota.h. */

#include "shared/quota-own.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* --- words: the number of a window, and the tokens that were used in it -------------------------
 */

#define TOKENS_BITS 36

_Static_assert(QUOTA_TOKENS_MAX == (UINT64_C(1) << TOKENS_BITS) - 1, "a word has these bits");
_Static_assert(WINDOW_NUMBER_MAX == UINT64_C(1) << (64 - TOKENS_BITS), "and those");

static uint64_t pack(struct quota_used used)
{
        return (uint64_t)used.number << TOKENS_BITS | used.tokens;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
        return b <= QUOTA_TOKENS_MAX - a ? a + b : QUOTA_TOKENS_MAX;
}

/*
 * What a word says at the time of window `number`. A word of the next window remains in force: the
 * clock has been set back a little, and will come there again. One further ahead was written by a
 * brick, or under a clock that was wrong.
 */
static struct quota_used unpack(uint64_t word, uint32_t number)
{
        struct quota_used used = { (uint32_t)(word >> TOKENS_BITS), word & QUOTA_TOKENS_MAX };

        if (used.number == number || used.number == number + 1)
                return used;
        return (struct quota_used){ .number = number };
}

static struct quota_used read_used(const struct shared *shared, uint32_t slot, enum window window,
                                   int64_t now)
{
        return unpack(atomic_load(&shared->used[slot][window]), window_at(window, now));
}

static void add_used(struct shared *shared, uint32_t slot, enum window window, uint64_t n,
                     int64_t now)
{
        _Atomic uint64_t *word = &shared->used[slot][window];
        uint64_t found = atomic_load(word);
        struct quota_used used;

        do {
                used = unpack(found, window_at(window, now));
                used.tokens = sum(used.tokens, n);
        } while (!atomic_compare_exchange_weak(word, &found, pack(used)));
}

/* --- slots -------------------------------------------------------------------------------------
 */

bool quota_has_budget(const struct shared *shared, uint32_t slot)
{
        return atomic_load(&shared->used[slot][WINDOW_MINUTE]) != 0;
}

static uint64_t count_reserved(const struct shared *shared, uint32_t slot)
{
        uint32_t rows = quota_rows(shared);
        uint64_t n = 0, own;

        for (uint32_t row = 0; row < rows; row++) {
                own = atomic_load(&shared->reserved[slot][row]);
                n = sum(n, own <= QUOTA_TOKENS_MAX ? own : QUOTA_TOKENS_MAX);
        }
        return n;
}

bool quota_holds_tokens(const struct shared *shared, uint32_t slot, int64_t now)
{
        if (!quota_has_budget(shared, slot))
                return false;
        for (enum window window = 0; window < WINDOWS; window++)
                if (read_used(shared, slot, window, now).tokens > 0)
                        return true;
        return count_reserved(shared, slot) > 0;
}

/* --- workers -----------------------------------------------------------------------------------
 */

static void change(struct quota *quota, uint32_t slot, uint64_t add, uint64_t remove)
{
        (void)pthread_mutex_lock(&quota->lock);
        quota->reserved[slot] += add - remove;
        atomic_store(&quota->shared->reserved[slot][quota->row], quota->reserved[slot]);
        (void)pthread_mutex_unlock(&quota->lock);
}

/* Whether n tokens more are too many in this window. others: reserved by other calls. */
static bool lacks(const struct quota_budget *budget, enum window window, struct quota_used used,
                  uint64_t others, uint64_t n, struct quota_shortage *ret)
{
        uint64_t limit = budget->limits[window], taken = sum(used.tokens, others);

        if (limit == 0 || sum(taken, n) <= limit)
                return false;
        *ret = (struct quota_shortage){
                .window = window,
                .limit = limit,
                .left = taken < limit ? limit - taken : 0,
                .reserved = others,
                .ends = window_end(window, used.number),
                .kind = n > limit                     ? SHORTAGE_FOREVER
                        : sum(used.tokens, n) > limit ? SHORTAGE_OF_WINDOW
                                                      : SHORTAGE_OF_RESERVED,
        };
        return true;
}

static bool is_worse(const struct quota_shortage *a, const struct quota_shortage *b)
{
        return a->kind != b->kind ? a->kind < b->kind : a->ends > b->ends;
}

bool quota_reserve(struct quota *quota, const struct quota_budget *budget, uint64_t n, int64_t now,
                   uint32_t *ret_slot, struct quota_shortage *ret)
{
        uint32_t slot = quota_find_slot(quota, budget->key);
        struct quota_shortage shortage;
        bool refused = false;
        uint64_t others;

        *ret = (struct quota_shortage){ .kind = SHORTAGE_OF_RESERVED };
        if (slot == QUOTA_IDENTITIES)
                return false;
        for (enum window window = 0; window < WINDOWS; window++)
                add_used(quota->shared, slot, window, 0, now); /* see quota_has_budget() */
        /* Reserve first, then check: of two workers at the same moment, at least one sees both. And
         * look at what is reserved before what is used: a call moves from the one to the other. */
        change(quota, slot, n, 0);
        others = count_reserved(quota->shared, slot);
        others = others > n ? others - n : 0;
        for (enum window window = 0; window < WINDOWS; window++)
                if (lacks(budget, window, read_used(quota->shared, slot, window, now), others, n,
                          &shortage) &&
                    (!refused || is_worse(&shortage, ret))) {
                        refused = true;
                        *ret = shortage;
                }
        if (refused) {
                change(quota, slot, 0, n);
                return false;
        }
        *ret_slot = slot;
        return true;
}

bool quota_tokens_left(struct quota *quota, const struct quota_budget *budget, int64_t now,
                       struct quota_left *ret)
{
        uint32_t slot = quota_find_slot(quota, budget->key);
        uint64_t reserved, limit, taken;
        bool found = false;

        if (slot == QUOTA_IDENTITIES)
                return false;
        reserved = count_reserved(quota->shared, slot);
        for (enum window window = 0; window < WINDOWS; window++) {
                struct quota_used used = read_used(quota->shared, slot, window, now);
                int64_t ends = window_end(window, used.number);

                limit = budget->limits[window];
                taken = sum(used.tokens, reserved);
                if (limit == 0 || (found && limit - (taken < limit ? taken : limit) >= ret->left))
                        continue;
                found = true;
                *ret = (struct quota_left){
                        .limit = limit,
                        .left = taken < limit ? limit - taken : 0,
                        .reset = ends > now ? (uint64_t)(ends - now) * NSEC_PER_SEC : 0,
                };
        }
        return found;
}

void quota_spend(struct quota *quota, uint32_t slot, uint64_t n, uint64_t used, int64_t now)
{
        for (enum window window = 0; used > 0 && window < WINDOWS; window++)
                add_used(quota->shared, slot, window,
                         used <= QUOTA_TOKENS_MAX ? used : QUOTA_TOKENS_MAX, now);
        change(quota, slot, 0, n);
}

/* --- the main process --------------------------------------------------------------------------
 */

/* QUOTA_IDENTITIES: the key has no slot. */
static uint32_t look_up(const struct shared *shared, uint64_t key)
{
        for (uint32_t i = 0; i < QUOTA_IDENTITIES; i++) {
                uint32_t slot = (uint32_t)((key + i) % QUOTA_IDENTITIES);
                uint64_t found = atomic_load(&shared->keys[slot]);

                if (found == key)
                        return slot;
                if (found == 0)
                        break;
        }
        return QUOTA_IDENTITIES;
}

void quota_get_used(const struct quota *quota, uint64_t key, int64_t now,
                    struct quota_used ret[static WINDOWS], uint64_t *ret_reserved)
{
        uint32_t slot = look_up(quota->shared, key);

        *ret_reserved = 0;
        for (enum window window = 0; window < WINDOWS; window++)
                ret[window] = (struct quota_used){ .number = window_at(window, now) };
        if (slot == QUOTA_IDENTITIES || !quota_has_budget(quota->shared, slot))
                return;
        *ret_reserved = count_reserved(quota->shared, slot);
        for (enum window window = 0; window < WINDOWS; window++)
                ret[window] = read_used(quota->shared, slot, window, now);
}

void quota_set_used(struct quota *quota, uint64_t key, const struct quota_used used[static WINDOWS])
{
        uint32_t slot = quota_find(quota->shared, key);
        uint64_t none = 0;

        if (slot == QUOTA_IDENTITIES)
                return;
        for (enum window window = 0; window < WINDOWS; window++, none = 0)
                (void)atomic_compare_exchange_strong(&quota->shared->used[slot][window], &none,
                                                     pack(used[window]));
}

/* SPDX-License-Identifier: MIT */
#include "util/random.h"

#include <sys/random.h>

#include "util/clock.h"

/* xoshiro256**, by Blackman and Vigna. */
static _Thread_local struct {
        uint64_t s[4]; /* all zero: not seeded yet */
} state;

static uint64_t rotate(uint64_t x, unsigned n)
{
        return x << n | x >> (64 - n);
}

static void seed(void)
{
        if (getrandom(&state, sizeof state, GRND_NONBLOCK) == (ssize_t)sizeof state)
                return;
        /* Early in the boot there may be no entropy: use values that differ between threads and
         * runs. */
        state.s[0] = clock_now();
        state.s[1] = (uintptr_t)&state;
}

uint64_t random_u64(void)
{
        uint64_t *s = state.s, result, t;

        if (!(s[0] | s[1] | s[2] | s[3]))
                seed();
        result = rotate(s[1] * 5, 7) * 9;
        t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotate(s[3], 45);
        return result;
}

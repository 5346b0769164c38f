/* SPDX-License-Identifier: MIT */
#pragma once

/* Which backend a key belongs to: rendezvous hashing. If one fails, only its keys move, and they
 * come back with it. */

#include <stddef.h>
#include <stdint.h>

/* The hash of a key or an address. */
static inline uint64_t affinity_hash(const char *bytes, size_t length)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (size_t i = 0; i < length; i++)
                hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
        return hash;
}

/* The weight of a key for a backend: the backend with the highest one has the key. */
static inline uint64_t affinity_weight(uint64_t key, uint64_t address)
{
        uint64_t x = key ^ address;

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9); /* the last steps of splitmix64 */
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

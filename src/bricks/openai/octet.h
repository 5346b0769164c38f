/* SPDX-License-Identifier: MIT */
#pragma once

/* Eight bytes at once: the first one is the lowest octet of a number. */

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define OCTETS_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define OCTETS_HIGH OCTETS_EACH(0x80u)

static inline uint64_t octets_load(const char *p)
{
        uint64_t word;

        memcpy(&word, p, sizeof word);
        return le64toh(word);
}

/* Marks octets that are this byte by their highest bit. Above the first one, others may be marked.
 */
static inline uint64_t octets_find(uint64_t word, unsigned char byte)
{
        uint64_t zero = word ^ OCTETS_EACH(byte);

        return (zero - OCTETS_EACH(1u)) & ~zero & OCTETS_HIGH;
}

/* The number of the first marked octet; found is not 0. */
static inline unsigned octets_first(uint64_t found)
{
        return (unsigned)__builtin_ctzll(found) / 8;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Many words looked for at once, whatever their number (Aho and Corasick, 1975). An alternation of
 * PCRE2 will not do: it stops at the first word that fits at a place, and the others that start or
 * end inside it go unseen. ASCII letters match in either case. Immutable; any thread may scan.
 */

#include <stddef.h>
#include <stdint.h>

struct literal {
        char *text;
        size_t length;  /* not 0 */
        uint32_t owner; /* what a hit is reported with */
        uint32_t kind;
};

struct literals;

/* All literals together: one state each byte, in 16 bits. */
#define LITERALS_BYTES_MAX 65535

typedef void literal_hit_fn(void *user, const struct literal *literal, size_t end);

/* The literals must outlive it. NULL: out of memory. */
struct literals *literals_new(const struct literal *list, size_t n);
struct literals *literals_free(struct literals *literals);

/* Every occurrence, overlapping ones as well; end is the offset after its last byte. */
void literals_scan(const struct literals *literals, const char *text, size_t length,
                   literal_hit_fn *hit, void *user);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Searches for many words in one pass (Aho and Corasick, 1975). An alternation in PCRE2 would not
 * find all of them: it stops at the first word that matches at a place, and misses others that
 * overlap it. Ignores the case of ASCII letters. Immutable; any thread may scan.
 */

#include <stddef.h>
#include <stdint.h>

struct literal {
        char *text;
        size_t length;  /* not 0 */
        uint32_t owner; /* reported with every hit */
        uint32_t kind;
};

struct literals;

/* The most bytes of all literals: every byte needs a state, which has 16 bits. */
#define LITERALS_BYTES_MAX 65535

typedef void literal_hit_fn(void *user, const struct literal *literal, size_t end);

/* The literals must outlive it. NULL: out of memory. */
struct literals *literals_new(const struct literal *list, size_t n);
struct literals *literals_free(struct literals *literals);

/* Reports every occurrence, also overlapping ones. end: the offset behind its last byte. */
void literals_scan(const struct literals *literals, const char *text, size_t length,
                   literal_hit_fn *hit, void *user);

/*
 * The same for a text that arrives in pieces. *state is 0 before the first. The offsets of a hit
 * count from the beginning of this piece, so that a literal may begin before it.
 */
void literals_scan_piece(const struct literals *literals, uint32_t *state, const char *piece,
                         size_t length, literal_hit_fn *hit, void *user);

/* How many of the last bytes may be the beginning of a literal of kind 0. */
size_t literals_begun(const struct literals *literals, uint32_t state);

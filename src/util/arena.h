/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An arena: allocations are freed together, by a reset. A reset keeps one block of moderate size,
 * so that a reused arena does not call malloc(). Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
        char *next;
        char *end;
        struct arena_block *blocks; /* the newest first */
        size_t used;                /* bytes of all blocks */
        size_t limit;
        unsigned first; /* bytes of the first block, with its head; 0: the usual */
        bool counted;   /* account.h counts what it holds above ARENA_FREE */
        bool refused;   /* by that account, since the last reset */
};

/* Calls hold so much without being counted: their number is bounded elsewhere. */
#define ARENA_FREE ((size_t)32 * 1024)

/* limit: the most bytes of all blocks together. */
void arena_init(struct arena *arena, size_t limit);

/* From now on it counts in the account of calls. Before the first allocation. */
void arena_count(struct arena *arena);

/* Its first block is as large as this, with its head, instead of 1 KiB: for what lives in thousands
 * and is known to be small. Before the first allocation. */
void arena_expect(struct arena *arena, unsigned first);

/* align: a power of two, at most 4096. NULL: out of memory, or a limit is reached. */
void *arena_alloc(struct arena *arena, size_t size, size_t align);

/* Changes the limit for further allocations. SIZE_MAX: the account refuses none, either. */
void arena_limit(struct arena *arena, size_t limit);

/* A mark is the number of bytes allocated so far. arena_rewind() frees what has been allocated
 * since. -EINVAL: less has been allocated than the mark says. */
size_t arena_mark(const struct arena *arena);
int arena_rewind(struct arena *arena, size_t mark);

/* Free all allocations. */
void arena_reset(struct arena *arena, size_t limit);
void arena_done(struct arena *arena);

/* A NUL-terminated copy; NULL as for arena_alloc(). */
char *arena_strndup(struct arena *arena, const char *s, size_t length);

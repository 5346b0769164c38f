/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Memory that is given out piece by piece and taken back all at once. A block of moderate
 * size stays for the next use, so that a recycled arena does not touch malloc. Not for two threads
 * at once.
 */

#include <stddef.h>

struct arena_block;

struct arena {
        char *next;
        char *end;
        struct arena_block *blocks; /* the newest first */
        size_t used;                /* bytes of all blocks */
        size_t limit;
};

/* limit bounds the bytes of all blocks. */
void arena_init(struct arena *arena, size_t limit);

/* align: a power of two, at most 4096. NULL: out of memory, or over the limit. */
void *arena_alloc(struct arena *arena, size_t size, size_t align);

/* A new limit for what is still to be given out. */
void arena_limit(struct arena *arena, size_t limit);

/* How much has been given out so far, and what is given out after that taken back. -EINVAL: there
 * was never so much. */
size_t arena_mark(const struct arena *arena);
int arena_rewind(struct arena *arena, size_t mark);

/* Forget everything that was given out. */
void arena_reset(struct arena *arena, size_t limit);
void arena_done(struct arena *arena);

/* A NUL-terminated copy; NULL as arena_alloc(). */
char *arena_strndup(struct arena *arena, const char *s, size_t length);

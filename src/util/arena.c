/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"

/* Enough for a small request and a brick's state; more blocks double from there. */
#define ARENA_FIRST 4096
#define ARENA_BLOCK_MAX (256 * 1024)
/* A first block larger than this, made for one large request, is not kept. */
#define ARENA_KEEP (64 * 1024)

struct arena_block {
        struct arena_block *older;
        size_t size;
        _Alignas(16) char memory[];
};

void arena_init(struct arena *arena, size_t limit)
{
        *arena = (struct arena){};
        arena_reset(arena, limit);
}

static int arena_grow(struct arena *arena, size_t need)
{
        size_t size = arena->blocks ? arena->blocks->size * 2
                                    : ARENA_FIRST - sizeof(struct arena_block);
        struct arena_block *block;

        if (size > ARENA_BLOCK_MAX)
                size = ARENA_BLOCK_MAX;
        if (size < need)
                size = need;
        if (size > arena->limit - arena->used)
                size = need;
        if (size > arena->limit - arena->used)
                return -1;

        block = malloc(sizeof *block + size);
        if (!block)
                return -1;
        block->older = arena->blocks;
        block->size = size;
        arena->blocks = block;
        arena->used += size;
        arena->next = block->memory;
        arena->end = block->memory + size;
        return 0;
}

void *arena_alloc(struct arena *arena, size_t size, size_t align)
{
        uintptr_t start;

        if (align == 0 || align > 4096 || (align & (align - 1)) != 0 || size > SIZE_MAX / 2)
                return NULL;

        start = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
        if (!arena->next || start > (uintptr_t)arena->end || (uintptr_t)arena->end - start < size) {
                if (arena_grow(arena, size + align) < 0)
                        return NULL;
                start = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
        }
        arena->next = (char *)start + size;
        return (void *)start;
}

void arena_limit(struct arena *arena, size_t limit)
{
        arena->limit = limit > ARENA_KEEP ? limit : ARENA_KEEP;
}

void arena_reset(struct arena *arena, size_t limit)
{
        struct arena_block *block = arena->blocks;

        while (block && (block->older || block->size > ARENA_KEEP)) {
                struct arena_block *older = block->older;

                free(block);
                block = older;
        }
        arena->blocks = block;
        arena_limit(arena, limit);
        arena->used = block ? block->size : 0;
        arena->next = block ? block->memory : NULL;
        arena->end = block ? block->memory + block->size : NULL;
}

void arena_done(struct arena *arena)
{
        arena_reset(arena, 0);
        free(arena->blocks);
        *arena = (struct arena){};
}

char *arena_strndup(struct arena *arena, const char *s, size_t length)
{
        char *copy = arena_alloc(arena, length + 1, 1);

        if (copy) {
                if (length > 0)
                        memcpy(copy, s, length);
                copy[length] = '\0';
        }
        return copy;
}

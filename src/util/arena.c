/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/account.h"
#include "util/arena.h"

/* The first block is small: there may be thousands of streams, for each of which a brick allocates
 * a small state. Later blocks double in size. */
#define ARENA_FIRST 1024
#define ARENA_BLOCK_MAX (256 * 1024)
/* arena_reset() does not keep a larger block: it was made for one large request. */
#define ARENA_KEEP (16 * 1024)

struct arena_block {
        struct arena_block *older;
        size_t size;
        size_t before; /* bytes of all older blocks */
        _Alignas(16) char memory[];
};

void arena_init(struct arena *arena, size_t limit)
{
        *arena = (struct arena){};
        arena_reset(arena, limit);
}

void arena_count(struct arena *arena)
{
        arena->counted = true;
}

void arena_expect(struct arena *arena, unsigned first)
{
        arena->first = first;
}

/* Bytes of a block, behind `before` others, that count in the account. */
static size_t counted_bytes(const struct arena *arena, size_t before, size_t size)
{
        return arena->counted && before + size > ARENA_FREE ? size : 0;
}

static bool account_for(struct arena *arena, size_t size)
{
        size_t counted = counted_bytes(arena, arena->used, size);

        if (counted == 0)
                return true;
        if (arena->limit < SIZE_MAX)
                return account_take(counted, arena->used);
        account_add(counted);
        return true;
}

static void discount_block(const struct arena *arena, const struct arena_block *block)
{
        size_t counted = counted_bytes(arena, block->before, block->size);

        if (counted > 0)
                account_give(counted);
}

/* The size of the next block, which may be larger than what is needed now. */
static size_t next_size(const struct arena *arena, size_t need)
{
        size_t first = arena->first > 0 ? arena->first : ARENA_FIRST;
        size_t size = arena->blocks ? arena->blocks->size * 2 : first - sizeof(struct arena_block);

        /* First allocate a block that arena_reset() can keep, and only then larger ones. */
        if (size > ARENA_KEEP && arena->used < ARENA_KEEP)
                size = ARENA_KEEP;
        if (size > ARENA_BLOCK_MAX)
                size = ARENA_BLOCK_MAX;
        return size < need || size > arena->limit - arena->used ? need : size;
}

static int arena_grow(struct arena *arena, size_t need)
{
        size_t size = next_size(arena, need);
        struct arena_block *block;

        if (size > arena->limit - arena->used)
                return -1;
        if (!account_for(arena, size)) {
                arena->refused = true;
                return -1;
        }
        block = malloc(sizeof *block + size);
        if (!block) {
                account_give(counted_bytes(arena, arena->used, size));
                return -1;
        }
        block->older = arena->blocks;
        block->size = size;
        block->before = arena->used;
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

/* Keeps the newest of the blocks that are small enough for the next use; it is the largest of
 * them. */
void arena_reset(struct arena *arena, size_t limit)
{
        struct arena_block *block = arena->blocks, *older;

        for (arena->blocks = NULL; block; block = older) {
                older = block->older;
                discount_block(arena, block);
                if (arena->blocks || block->size > ARENA_KEEP)
                        free(block);
                else
                        arena->blocks = block;
        }
        block = arena->blocks;
        if (block) {
                block->older = NULL;
                block->before = 0;
        }
        arena_limit(arena, limit);
        arena->refused = false;
        arena->used = block ? block->size : 0;
        arena->next = block ? block->memory : NULL;
        arena->end = block ? block->memory + block->size : NULL;
}

size_t arena_mark(const struct arena *arena)
{
        const struct arena_block *block = arena->blocks;

        return block ? block->before + (size_t)(arena->next - block->memory) : 0;
}

int arena_rewind(struct arena *arena, size_t mark)
{
        struct arena_block *block = arena->blocks;

        if (mark > arena_mark(arena))
                return -EINVAL;
        for (; block && block->before > mark; block = arena->blocks) {
                arena->blocks = block->older;
                arena->used = block->before;
                discount_block(arena, block);
                free(block);
        }
        if (block) {
                arena->next = block->memory + (mark - block->before);
                arena->end = block->memory + block->size;
        }
        return 0;
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

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "util/account.h"
#include "util/arena.h"

static void test_alignment(void)
{
        struct arena arena;

        arena_init(&arena, 1 << 20);
        for (size_t align = 1; align <= 4096; align *= 2)
                for (size_t size = 0; size < 50; size++) {
                        char *p = arena_alloc(&arena, size, align);

                        assert(p && (uintptr_t)p % align == 0);
                        memset(p, 1, size);
                }
        assert(!arena_alloc(&arena, 1, 0));
        assert(!arena_alloc(&arena, 1, 3));
        assert(!arena_alloc(&arena, 1, 8192));
        arena_done(&arena);
}

static void test_limit(void)
{
        struct arena arena;
        size_t given = 0;

        arena_init(&arena, 200000);
        assert(!arena_alloc(&arena, SIZE_MAX, 1));
        assert(!arena_alloc(&arena, 300000, 1));
        while (arena_alloc(&arena, 1000, 1))
                given += 1000;
        assert(given > 100000 && given <= 200000);
        arena_done(&arena);
}

/* An arena that is used alike again and again comes to have one block for all of it. */
static void test_reuse(void)
{
        struct arena_block *block;
        struct arena arena;

        arena_init(&arena, 1 << 20);
        for (int use = 0; use < 4; use++) {
                arena_reset(&arena, 1 << 20);
                block = arena.blocks;
                for (int i = 0; i < 12; i++)
                        memset(arena_alloc(&arena, 1000, 8), 1, 1000);
                memset(arena_alloc(&arena, 4000, 8), 1, 4000);
        }
        assert(arena.blocks == block);
        arena_done(&arena);
}

/* A recycled arena gives the same memory again, and keeps no large block. */
static void test_reset(void)
{
        struct arena arena;
        void *first, *second;

        arena_init(&arena, 1 << 20);
        first = arena_alloc(&arena, 100, 16);
        assert(arena_alloc(&arena, 500000, 1));
        arena_reset(&arena, 1 << 20);
        assert(arena_alloc(&arena, 100, 16) == first);
        second = arena_alloc(&arena, 5000, 16);
        arena_reset(&arena, 1 << 20);
        assert(arena_alloc(&arena, 5000, 16) == second);
        assert(arena.used >= 5000 && arena.used <= 16 * 1024);
        arena_done(&arena);

        arena_init(&arena, 1 << 20);
        assert(arena_alloc(&arena, 500000, 1));
        arena_reset(&arena, 1 << 20);
        assert(arena.used == 0);
        arena_done(&arena);
}

/* What is taken back can be given out again, however often; what came before stays as it is. */
static void test_rewind(void)
{
        struct arena arena;
        char *kept, *after;
        size_t mark;

        arena_init(&arena, 64 * 1024);
        mark = arena_mark(&arena);
        assert(arena_alloc(&arena, 3000, 8));
        assert(arena_rewind(&arena, mark) == 0 && arena_mark(&arena) == mark);

        kept = arena_strndup(&arena, "kept", 4);
        mark = arena_mark(&arena);
        after = arena_alloc(&arena, 10, 1);
        for (int i = 0; i < 1000; i++) {
                assert(arena_rewind(&arena, mark) == 0);
                assert(arena_alloc(&arena, 10, 1) == after);
                for (int j = 0; j < 20; j++)
                        memset(arena_alloc(&arena, 1000, 8), j, 1000);
                assert(arena.used <= 64 * 1024);
        }
        assert(arena_rewind(&arena, mark) == 0 && strcmp(kept, "kept") == 0);
        assert(arena_rewind(&arena, mark + 1) == -EINVAL && arena_mark(&arena) == mark);

        arena_reset(&arena, 64 * 1024);
        assert(arena_mark(&arena) == 0 && arena_rewind(&arena, mark) == -EINVAL);
        arena_done(&arena);
}

static void test_strndup(void)
{
        struct arena arena;

        arena_init(&arena, 1000);
        assert(strcmp(arena_strndup(&arena, "brickd", 5), "brick") == 0);
        assert(strcmp(arena_strndup(&arena, NULL, 0), "") == 0);
        arena_done(&arena);
}

/* What arenas hold above a small part counts, and no more, however they give it back. */
static void test_account(void)
{
        struct arena arena, other;
        size_t mark;

        account_limit(4 << 20);
        arena_init(&arena, 64 << 20);
        arena_init(&other, 64 << 20);
        arena_count(&arena);
        while (arena.used + 16 * 1024 <= ARENA_FREE)
                assert(arena_alloc(&arena, 500, 1));
        assert(account_held() == 0);
        mark = arena_mark(&arena);
        assert(arena_alloc(&arena, 1 << 20, 1));
        assert(account_held() > 1 << 20 && account_held() < (1 << 20) + 4096);
        assert(arena_alloc(&other, 1 << 20, 1) && account_held() < (1 << 20) + 4096);
        assert(arena_rewind(&arena, mark) == 0 && account_held() == 0);

        /* one may have four fifths */
        assert(!arena.refused);
        while (arena_alloc(&arena, 1000, 1))
                ;
        assert(arena.refused);
        assert(account_held() > 2900 << 10 && account_held() <= (4 << 20) / 5 * 4);
        assert(account_take(100 << 10, 0)); /* and leaves the rest to others */
        account_give(100 << 10);
        arena_limit(&arena, SIZE_MAX); /* for what cannot be refused */
        assert(arena_alloc(&arena, 2 << 20, 1) && account_held() > 4 << 20);
        assert(!account_take(1, 0));
        arena_reset(&arena, 0);
        assert(account_held() == 0 && !arena.refused);

        assert(account_take(5 << 20, 0)); /* where nothing is held, any number fits */
        account_give(5 << 20);
        arena_done(&arena);
        arena_done(&other);
        account_limit(SIZE_MAX);
}

int main(void)
{
        test_alignment();
        test_limit();
        test_reset();
        test_reuse();
        test_rewind();
        test_strndup();
        test_account();
        return 0;
}

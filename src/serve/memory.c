/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "serve/memory.h"
#include "util/cleanup.h"

/* malloc_trim() walks through all free memory with malloc()'s locks held: less is not worth it. */
#define TRIM_MIN ((size_t)16 << 20)

/* After a burst, this much is worth one last walk. */
#define MOVE_MIN ((size_t)1 << 20)

/* The process's resident bytes that no file backs; 0: they cannot be read. */
static size_t anonymous(void)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
        unsigned long size, resident, of_files;

        if (!f || fscanf(f, "%lu %lu %lu", &size, &resident, &of_files) != 3)
                return 0;
        return (resident - of_files) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Those that no allocation uses. Some belong to others than malloc(), and no trimming gives them
 * back. */
static size_t unused(void)
{
        struct mallinfo2 info = mallinfo2();
        size_t used = info.uordblks + info.hblkhd, all = anonymous();

        return all > used ? all - used : 0;
}

static size_t difference(size_t a, size_t b)
{
        return a > b ? a - b : b - a;
}

/* Whether memory has been allocated or freed lately, and is calm now. */
static bool has_calmed_down(size_t now)
{
        static size_t last;
        static bool moved;
        bool moves = difference(now, last) >= MOVE_MIN, calm = moved && !moves;

        last = now;
        moved = moves || (moved && !calm);
        return calm;
}

void memory_maintain(void)
{
        static size_t lowest = SIZE_MAX; /* of unused(), since it was last trimmed */
        size_t now = unused();
        bool calm = has_calmed_down(now);

        if (lowest == SIZE_MAX || now < lowest)
                lowest = now;
        if (now - lowest < (calm ? MOVE_MIN : TRIM_MIN))
                return;
        (void)malloc_trim(0);
        lowest = unused();
}

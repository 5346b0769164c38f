/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>
#include <unistd.h>

/* Removes an index with its write-ahead log and shared memory. */
static inline void remove_index(const char *path)
{
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        char name[80];

        for (size_t i = 0; i < 3; i++) {
                (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
                (void)unlink(name);
        }
}

/* SPDX-License-Identifier: MIT */
#include "frequency.h"

#include <string.h>

/* FNV-1a */
static uint64_t digest(const char *term, size_t n)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n; i++)
                hash = (hash ^ (unsigned char)term[i]) * UINT64_C(0x100000001b3);
        return hash ?: 1;
}

void frequency_begin(struct frequency *f, int64_t version,
                     const uint64_t visible[static ROWID_AUDIENCES / 64])
{
        if (f->version == version && memcmp(f->visible, visible, sizeof f->visible) == 0)
                return;
        memset(f->slots, 0, sizeof f->slots);
        f->version = version;
        memcpy(f->visible, visible, sizeof f->visible);
}

int64_t frequency_get(const struct frequency *f, const char *term, size_t n)
{
        uint64_t hash = digest(term, n);

        return f->slots[hash % FREQUENCY_SLOTS].term == hash ? f->slots[hash % FREQUENCY_SLOTS].rows
                                                             : -1;
}

void frequency_put(struct frequency *f, const char *term, size_t n, int64_t rows)
{
        uint64_t hash = digest(term, n);

        f->slots[hash % FREQUENCY_SLOTS].term = hash;
        f->slots[hash % FREQUENCY_SLOTS].rows = rows;
}

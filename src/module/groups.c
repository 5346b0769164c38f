/* SPDX-License-Identifier: MIT */
#include "module/groups.h"

#include <stdlib.h>
#include <string.h>

struct groups *groups_new(const char *const *names, size_t n)
{
        size_t size = sizeof(struct groups) + n * sizeof(struct brick_str);
        struct groups *groups;
        char *text;

        for (size_t i = 0; i < n; i++)
                size += strlen(names[i]);
        groups = malloc(size);
        if (!groups)
                return NULL;
        atomic_init(&groups->refs, 1);
        groups->n = n;
        text = (char *)&groups->names[n];
        for (size_t i = 0; i < n; i++) {
                groups->names[i] = (struct brick_str){ text, strlen(names[i]) };
                text = mempcpy(text, names[i], groups->names[i].len);
        }
        return groups;
}

struct groups *groups_ref(struct groups *groups)
{
        if (groups)
                atomic_fetch_add_explicit(&groups->refs, 1, memory_order_relaxed);
        return groups;
}

struct groups *groups_unref(struct groups *groups)
{
        if (groups && atomic_fetch_sub_explicit(&groups->refs, 1, memory_order_acq_rel) == 1)
                free(groups);
        return NULL;
}

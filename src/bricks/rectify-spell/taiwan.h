/* SPDX-License-Identifier: MIT */
#pragma once

/* Words of the mainland, in traditional characters, as those of Taiwan: 軟件 as 軟體. By OpenCC;
 * without it, taiwan_new() says so. */

#include <stddef.h>

struct taiwan_error {
        char text[256];
};

/* config: OpenCC's configuration for it. 0; -ENOENT or -ENOSYS: see *error. */
int taiwan_new(const char *config, void **ret, struct taiwan_error *error);
void taiwan_free(void *taiwan); /* accepts NULL */

/* Calls changed() for each word from start to end that is another one there, in order, until it
 * fails. 0, -ENOMEM, or what changed() returned. Any number of threads may call. */
int taiwan_words(void *taiwan, const char *text, size_t start, size_t end,
                 int (*changed)(void *user, size_t at, size_t length, const char *to,
                                size_t to_length),
                 void *user);

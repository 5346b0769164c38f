/* SPDX-License-Identifier: MIT */
#pragma once

/* A text that grows at its end and is taken from its beginning. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
        char *ptr; /* with room for a NUL behind it, once it has been written to */
        size_t len, size;
};

/* 0 or -ENOMEM. */
static inline int buffer_add(struct buffer *buffer, const char *text, size_t n)
{
        if (buffer->size - buffer->len < n + 1 || !buffer->ptr) {
                size_t size = 2 * (buffer->len + n) + 64;
                char *ptr = realloc(buffer->ptr, size);

                if (!ptr)
                        return -ENOMEM;
                buffer->ptr = ptr;
                buffer->size = size;
        }
        if (n > 0)
                memcpy(buffer->ptr + buffer->len, text, n);
        buffer->len += n;
        return 0;
}

/* Removes the first n bytes. */
static inline void buffer_drop(struct buffer *buffer, size_t n)
{
        buffer->len -= n;
        if (buffer->len > 0)
                memmove(buffer->ptr, buffer->ptr + n, buffer->len);
}

static inline void buffer_done(struct buffer *buffer)
{
        free(buffer->ptr);
        *buffer = (struct buffer){};
}

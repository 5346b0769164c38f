/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "ctl/lines.h"

struct lines {
        int fd;
        int stop_fd;
        bool ended;
        char *buffer;
        size_t capacity;
        size_t start; /* of the bytes that no caller has had yet */
        size_t end;
};

int lines_new(struct lines **ret, int fd, int stop_fd)
{
        struct lines *lines = calloc(1, sizeof *lines);

        if (!lines)
                return -ENOMEM;
        lines->fd = fd;
        lines->stop_fd = stop_fd;
        *ret = lines;

        return 0;
}

struct lines *lines_free(struct lines *lines)
{
        if (!lines)
                return NULL;

        free(lines->buffer);
        free(lines);

        return NULL;
}

/* Room for at least one more byte. */
static int make_room(struct lines *lines)
{
        size_t length = lines->end - lines->start;
        size_t capacity = lines->capacity ? 2 * lines->capacity : 4096;
        char *buffer;

        if (lines->end < lines->capacity)
                return 0;
        if (lines->start > 0) {
                memmove(lines->buffer, lines->buffer + lines->start, length);
                lines->start = 0;
                lines->end = length;
                return 0;
        }
        if (length >= LINES_MAX)
                return -EMSGSIZE;
        buffer = realloc(lines->buffer, capacity);
        if (!buffer)
                return -ENOMEM;
        lines->buffer = buffer;
        lines->capacity = capacity;

        return 0;
}

/* 1: bytes may have been added to the buffer; 0: end of the input, or stopped; or a negative errno.
 */
static int read_some(struct lines *lines)
{
        struct pollfd fds[] = { { lines->fd, POLLIN, 0 }, { lines->stop_fd, POLLIN, 0 } };
        ssize_t n;
        int r;

        r = make_room(lines);
        if (r < 0)
                return r;
        do
                n = poll(fds, ELEMENTSOF(fds), -1);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (fds[1].revents) {
                lines->end = lines->start;
                return 0;
        }
        n = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end);
        if (n < 0)
                return errno == EINTR || errno == EAGAIN ? 1 : -errno;
        lines->end += (size_t)n;

        return n > 0;
}

/* Returns the next `length` bytes and skips the newline after them, if there is one. */
static int give(struct lines *lines, size_t length, const char **ret_line, size_t *ret_length)
{
        *ret_line = lines->buffer + lines->start;
        *ret_length = length;
        lines->start += length;
        if (lines->start < lines->end)
                lines->start++;

        return 1;
}

int lines_next(struct lines *lines, const char **ret_line, size_t *ret_length)
{
        size_t scanned = 0;
        int r;

        for (;;) {
                size_t length = lines->end - lines->start;
                const char *from = lines->buffer + lines->start;
                const char *newline = length > scanned
                                              ? memchr(from + scanned, '\n', length - scanned)
                                              : NULL;

                if (newline)
                        return give(lines, (size_t)(newline - from), ret_line, ret_length);
                if (lines->ended)
                        return length > 0 ? give(lines, length, ret_line, ret_length) : 0;
                scanned = length;
                r = read_some(lines);
                if (r < 0)
                        return r;
                lines->ended = r == 0;
        }
}

int lines_rest(struct lines *lines, const char **ret_text, size_t *ret_length)
{
        int r;

        do
                r = read_some(lines);
        while (r > 0);
        if (r < 0)
                return r;

        return give(lines, lines->end - lines->start, ret_text, ret_length);
}

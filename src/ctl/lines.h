/* SPDX-License-Identifier: MIT */
#pragma once

/* Lines of a file descriptor as they come, given up on as soon as another descriptor is readable.
 */

#include <stddef.h>

#include "util/cleanup.h"

#define LINES_MAX (16 << 20) /* bytes of one line, or of one whole file */

struct lines;

int lines_new(struct lines **ret, int fd, int stop_fd);
struct lines *lines_free(struct lines *lines);
DEFINE_CLEANUP(struct lines *, lines_free);

/*
 * 1: a line without its newline, valid until the next call; 0: there are no more, or stop_fd is
 * readable; -EMSGSIZE: longer than LINES_MAX; else a negative errno.
 */
int lines_next(struct lines *lines, const char **ret_line, size_t *ret_length);

/* All that is left, as one line. */
int lines_rest(struct lines *lines, const char **ret_text, size_t *ret_length);

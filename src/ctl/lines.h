/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads lines from a file descriptor until a second descriptor becomes readable.
 */

#include <stddef.h>

#include "util/cleanup.h"

#define LINES_MAX (16 << 20) /* bytes of one line, or of a whole input */

struct lines;

int lines_new(struct lines **ret, int fd, int stop_fd);
struct lines *lines_free(struct lines *lines);
DEFINE_CLEANUP(struct lines *, lines_free);

/*
 * 1: a line without its newline, valid until the next call; 0: end of the input, or stop_fd is
 * readable; -EMSGSIZE: the line is longer than LINES_MAX; or another negative errno.
 */
int lines_next(struct lines *lines, const char **ret_line, size_t *ret_length);

/* Reads the rest of the input as a single line. */
int lines_rest(struct lines *lines, const char **ret_text, size_t *ret_length);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads and writes files, also past signals and in pieces. Any thread may call these functions. */

#include <stdbool.h>
#include <sys/types.h>

/* Reads to the end of the file, or until `size` bytes have come. Their number; else a negative
 * errno. */
ssize_t io_read(int fd, char *bytes, size_t size);

/* Writes all of them. 0 or a negative errno. */
int io_write(int fd, const char *bytes, size_t length);

/* Whether bytes have come on a socket or a pipe that have not been read. */
bool io_has_unread(int fd);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads a file that may be compressed with gzip. */

#include <stddef.h>
#include <zlib.h>

/* Takes ownership of fd, also on failure. 0 or -ENOMEM. */
int stream_open(int fd, gzFile *ret);

/* The number of bytes read; 0: end of the file; -EIO: damaged or truncated. */
int stream_read(gzFile stream, char *buffer, size_t n);

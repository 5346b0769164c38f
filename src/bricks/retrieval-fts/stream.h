/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading a file that may be compressed with gzip. */

#include <stddef.h>
#include <zlib.h>

/* fd becomes the stream's, also on failure. 0 or -ENOMEM. */
int stream_open(int fd, gzFile *ret);

/* Bytes read, 0 at the end, or -EIO: damaged, or cut short. */
int stream_read(gzFile stream, char *buffer, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* Reads a regular file, for free(), with a NUL behind it. NULL: errno has the error; EFBIG: larger
 * than max; EINVAL: not a regular file. */
char *file_read(const char *path, size_t max, size_t *ret_length);

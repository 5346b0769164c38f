/* SPDX-License-Identifier: MIT */
#pragma once

/* Bytes in a descriptor that never change any more: a sealed memfd. Async-signal-safe, but for
 * memfd_read(). */

#include <stddef.h>

/* The descriptor, at its beginning; negative errno. */
int memfd_new(const char *name, const char *bytes, size_t length);

/*
 * What another process has put into one, NUL-terminated; free() it. -EBADF: it is something else,
 * or could still change; -EFBIG: it holds more than max bytes.
 */
int memfd_read(int fd, size_t max, char **ret, size_t *ret_length);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Memory in a descriptor, for other processes. */

#include <stddef.h>

/* Bytes that never change any more. The descriptor, at its beginning; negative errno. */
int memfd_new(const char *name, const char *bytes, size_t length);

/* Zeros for all who have it to write: of a size that nobody can change, for who made it smaller
 * could make the others fault. The descriptor, or a negative errno. */
int memfd_share(const char *name, size_t size);

/* What memfd_share() has made, to read and write; munmap() it. Negative errno. */
int memfd_map(void **ret, int fd, size_t size);

/* The same, but mapped for this process at *ret, and for all others only to read. */
int memfd_publish(void **ret, const char *name, size_t size);

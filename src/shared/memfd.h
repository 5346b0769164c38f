/* SPDX-License-Identifier: MIT */
#pragma once

/* Memory in a descriptor that other processes can map. */

#include <stddef.h>

/* A copy of the bytes that nobody can change any more. The descriptor, positioned at 0, or a
 * negative errno. */
int memfd_new(const char *name, const char *bytes, size_t length);

/* Zeros that every process with the descriptor may write. Nobody can change the size: if somebody
 * made it smaller, access would end the others with SIGBUS. The descriptor, or a negative errno. */
int memfd_share(const char *name, size_t size);

/* Maps what memfd_share() created, to read and write; munmap() it. 0 or a negative errno. */
int memfd_map(void **ret, int fd, size_t size);

/* Like memfd_share(), but only this process can write, at *ret; munmap() it. Others can only map it
 * to read. */
int memfd_publish(void **ret, const char *name, size_t size);

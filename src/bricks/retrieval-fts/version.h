/* SPDX-License-Identifier: MIT */
#pragma once

/* Identifies the file at a path and its content. */

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* Every change is written to the log first. */
struct version {
        dev_t device;
        ino_t inode;
        struct timespec changed;
        struct timespec log_changed;
        off_t log_size; /* 0: there is no log */
};

/* The version of an index and of SQLite's write-ahead log beside it. 0 or a negative errno;
 * -EINVAL: not a regular file. */
int version_get(const char *path, const char *log, struct version *ret);

bool version_same_file(const struct version *a, const struct version *b);
bool version_same_content(const struct version *a, const struct version *b);

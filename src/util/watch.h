/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Detects changes of a file by polling stat(). This works for every kind of change (in place, by
 * rename, by a symbolic link on its path) and on every file system. Not thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* The interval between calls of watch_changed(), in ms. */
#define WATCH_INTERVAL 500

struct watch_mark { /* differs after every change; all zero: the file is missing */
        uint64_t device;
        uint64_t inode;
        int64_t size;
        struct timespec modified;
        struct timespec changed; /* also changes with chmod */
};

struct watch {
        const char *path;
        struct watch_mark told; /* what the user knows of */
        struct watch_mark seen; /* when last looked */
        bool rests;             /* it was the same then as the time before */
};

/* Starts to watch a file. Read the file after this call. path must outlive the watch. */
void watch_init(struct watch *watch, const char *path);

/*
 * True once for every change, as soon as the file has rested for an interval: it is not read while
 * it is being written, and several files that change together are complete. A file that goes away
 * has changed, too.
 */
bool watch_changed(struct watch *watch);

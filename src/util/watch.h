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
        struct watch_mark told; /* the state last reported */
        struct watch_mark seen; /* the state at the last call */
        bool rests;             /* the last two calls saw the same state */
};

/* Starts to watch a file. Read the file after this call. path must outlive the watch. */
void watch_init(struct watch *watch, const char *path);

/*
 * True once after every change, when two calls in a row have seen the same state: then the file is
 * no longer being written, and other files that belong to it are complete. The removal of the file
 * is also a change.
 */
bool watch_changed(struct watch *watch);

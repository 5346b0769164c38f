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
        struct watch_mark done; /* the state that the caller has processed */
        struct watch_mark seen; /* the state at the last call of watch_changed() */
        bool rests;             /* the file did not change between its last two calls */
};

/* Starts to watch a file. Read the file after this call. path must outlive the watch. */
void watch_init(struct watch *watch, const char *path);

/*
 * True if the file has changed since the last watch_done(), and not since the last call. So a file
 * is not read while it is being written, and several files that change together are complete. A
 * file that is removed has changed as well.
 */
bool watch_changed(struct watch *watch);

/* The caller has processed the change that watch_changed() last reported. Call it only after the
 * file has been read, so that no error loses the change. */
void watch_done(struct watch *watch);

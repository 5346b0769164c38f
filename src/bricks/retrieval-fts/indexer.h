/* SPDX-License-Identifier: MIT */
#pragma once

/* From files to the index: walks directories, reads files, splits lines of JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct index;

struct indexer {
        struct index *index;
        size_t max_size; /* of a file's text, and of a line of JSON */
        bool prune;      /* drop what has gone from the directories given */
        bool progress;   /* show it on stderr */

        int64_t n_read; /* files */
        int64_t n_unchanged;
        int64_t n_removed;
        int64_t n_skipped;
        int64_t n_errors; /* each has been printed */

        struct timespec shown; /* when progress was last */
};

/*
 * Indexes a file or a directory. What is wrong with the files is printed and counted; a negative
 * errno means that the index cannot be written: index_error().
 */
int indexer_add(struct indexer *indexer, const char *path);

/* Drops a file or a directory, which need not exist, from the index. */
int indexer_remove(struct indexer *indexer, const char *path);

/* Removes the line of progress from the terminal. */
void indexer_clear(struct indexer *indexer);

/* Prints and counts a mistake in the user's files. */
__attribute__((format(printf, 2, 3))) void indexer_error(struct indexer *indexer,
                                                         const char *format, ...);

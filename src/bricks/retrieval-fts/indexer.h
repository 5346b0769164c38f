/* SPDX-License-Identifier: MIT */
#pragma once

/* Adds files to an index: walks directories, reads files, and splits lines of JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "acl.h"

struct index;

struct indexer {
        struct index *index;
        size_t max_size;  /* of a file's text, and of a line of JSON */
        bool prune;       /* remove documents whose files no longer exist */
        bool progress;    /* show progress on stderr */
        bool file_groups; /* the permissions of a file say who may find it; see acl.h */
        struct acl_cache acl;
        bool quiet; /* print nothing but errors */

        int64_t n_read; /* files */
        int64_t n_unchanged;
        int64_t n_removed;
        int64_t n_skipped;
        int64_t n_errors; /* each has been printed */

        struct timespec shown; /* time of the last progress line */
};

/*
 * Indexes a file or a directory. Prints and counts mistakes in the files. A negative errno: the
 * index cannot be written; see index_error().
 */
int indexer_add(struct indexer *indexer, const char *path);

/* Removes a file or a directory from the index. It need not exist. */
int indexer_remove(struct indexer *indexer, const char *path);

/* Clears the progress line on the terminal. */
void indexer_clear(struct indexer *indexer);

/* Prints what the user should know about a file, unless quiet. */
__attribute__((format(printf, 2, 3))) void indexer_note(struct indexer *indexer, const char *format,
                                                        ...);

/* Prints and counts a mistake in a user's file. */
__attribute__((format(printf, 2, 3))) void indexer_error(struct indexer *indexer,
                                                         const char *format, ...);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Writes an index, also while others search it. Changes become visible in batches: when a batch is
 * full, and at the end. Not thread-safe.
 *
 * Functions return 0, INDEX_E_*, or a negative errno if the index cannot be written: then
 * index_error() has the message, and only index_free() may follow.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scope.h"

enum {
        INDEX_E_UNCHANGED = 1,
        INDEX_E_TOO_LONG, /* the document has too many passages */
};

struct index_file {
        const char *path; /* absolute */
        int64_t mtime;    /* nanoseconds */
        int64_t size;

        /* Who may find its documents: names of groups, sorted, with a space between two; "":
         * everybody. Valid until index_end(), as the path is. */
        const char *groups;
};

struct index_document {
        const char *key; /* the document's id in results; replaces a document with the same key */
        const char *title;
        const char *metadata; /* a JSON object */
        const char *groups;   /* as of the file; NULL: those of the file */
        const char *text;     /* UTF-8, n bytes */
        size_t n;
};

struct index_statistics {
        int64_t documents;
        int64_t passages;
};

/* Discards changes that have not been committed. */
struct index *index_free(struct index *index);
DEFINE_CLEANUP(struct index *, index_free);

/* Creates the file if it does not exist. Calls `waiting`, which may be NULL, if it waits for
 * another writer. On failure, *error is a message, or NULL if out of memory. */
int index_open(const char *path, void (*waiting)(const char *path), struct index **ret,
               char **error);

/*
 * Starts a file: removes its documents from the index, before the new ones are added.
 * INDEX_E_UNCHANGED: the file has not changed; nothing is removed, and nothing must be added. A
 * file without index_end() is read again next time.
 */
int index_begin(struct index *index, const struct index_file *file);
int index_add(struct index *index, const struct index_document *document);
int index_end(struct index *index);

/* Removes the files in a directory that have not been passed to this struct index. */
int index_prune(struct index *index, const char *directory, int64_t *ret_files);

/* Removes a file, or all files in a directory. */
int index_remove(struct index *index, const char *path, int64_t *ret_files);

int index_commit(struct index *index, struct index_statistics *ret);

const char *index_error(struct index *index);

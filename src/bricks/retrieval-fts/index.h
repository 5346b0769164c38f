/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Writing an index, while others search it. Changes become visible in batches, whenever a batch is
 * full and at the end. Used by one thread.
 *
 * Functions return 0, INDEX_E_* or, if the index itself cannot be written, a negative errno;
 * index_error() then says why, and nothing but index_free() should follow.
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
};

struct index_document {
        const char *key; /* what answers call it; replaces a document of this key */
        const char *title;
        const char *metadata; /* a JSON object */
        const char *text;     /* UTF-8, n bytes */
        size_t n;
};

struct index_statistics {
        int64_t documents;
        int64_t passages;
};

/* Discards what is not committed. */
struct index *index_free(struct index *index);
DEFINE_CLEANUP(struct index *, index_free);

/* Creates the file if it is not there. On failure, *error is a line to show, if memory allowed. */
int index_open(const char *path, struct index **ret, char **error);

/*
 * Starts on a file: what the index has of it is dropped, and documents follow. With
 * INDEX_E_UNCHANGED nothing is, and none do. A file that is begun and not ended is read again next
 * time.
 */
int index_begin(struct index *index, const struct index_file *file);
int index_add(struct index *index, const struct index_document *document);
int index_end(struct index *index);

/* Drops the files in directory that this struct index has not met. */
int index_prune(struct index *index, const char *directory, int64_t *ret_files);

/* Drops a file, or all in a directory. */
int index_remove(struct index *index, const char *path, int64_t *ret_files);

int index_commit(struct index *index, struct index_statistics *ret);

const char *index_error(struct index *index);

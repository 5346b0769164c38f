/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Labelled texts, one a line: LABEL<TAB>TEXT, or LABEL/GROUP<TAB>TEXT, where groups only matter for
 * reports. In the text, \n, \t and \\ stand for a newline, a tab and a backslash. Lines that are
 * empty or begin with # are skipped.
 */

#include <stddef.h>
#include <stdint.h>

#define TEXTS_FILE_MAX (256 << 20) /* bytes */
#define TEXTS_LABELS_MAX 4         /* as LINEAR_LABELS */
#define TEXTS_NAME_MAX 31          /* bytes of a label or a group */

struct labelled_text {
        uint32_t label;    /* index */
        const char *group; /* "": none */
        const char *text;  /* valid UTF-8 */
        size_t length;
};

struct texts {
        char labels[TEXTS_LABELS_MAX][TEXTS_NAME_MAX + 1]; /* in the order of their first text */
        size_t n_labels;
        struct labelled_text *list;
        size_t n;
        char *bytes;
};

/* Reads a file. 0; -EINVAL: *ret_error is "PATH:LINE: what is wrong", for free(); -ENOMEM. */
int texts_read(const char *path, struct texts **ret, char **ret_error);

/* The same of bytes from malloc(), which it takes over; bytes[size] can be written. */
int texts_parse(const char *path, char *bytes, size_t size, struct texts **ret, char **ret_error);
struct texts *texts_free(struct texts *texts);

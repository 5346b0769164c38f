/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tables of options. The parser, --print-config, --describe and the JSON Schema all work from the
 * same table, and tests compare the man page with it. The options of a brick module (struct
 * brick_option of brick.h) are converted to such a table and checked by the same code.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;
struct document;
struct node;

enum option_type { /* the values of BRICK_STRING and so on */
                   OPTION_STRING = 1,
                   OPTION_INT,
                   OPTION_BOOL,
                   OPTION_FLOAT,
                   OPTION_LIST, /* any list; with `table`, one whose items are all like table[0] */
                   OPTION_MAP,  /* any map; with `table`, one of its form */
                   OPTION_DURATION,
                   OPTION_SIZE,
                   OPTION_ENUM,
                   OPTION_SECRET,
                   OPTION_BRICK, /* the name of another brick */
                   OPTION_PATH,
};

enum option_flags {
        OPTION_REQUIRED = 1 << 0,
        OPTION_REPEATED = 1 << 1, /* a list of such values; a single value that is not a map counts
                                     as a list of one */
        OPTION_NULLABLE = 1 << 2, /* null is allowed and means: none */
        OPTION_LOCAL = 1 << 3,    /* the default depends on the installation */
        OPTION_ONE_OR_MORE = 1 << 4, /* OPTION_LIST with `table`: a value that is no list counts as
                                        a list of one */
};

struct option_spec {
        const char *name; /* NULL ends a table */
        enum option_type type;
        unsigned flags;
        const char *fallback; /* the default, as written in a file; NULL: none */
        const char *choices; /* OPTION_ENUM: "one|two"; OPTION_INT: words allowed besides numbers */
        int64_t min;         /* inclusive range of a number, duration (ns) or size, or of */
        int64_t max;         /* the length of a list with `table`; if min < max */
        const struct option_spec *table; /* OPTION_MAP: its keys, or with OPTION_REPEATED those of
                                            each map of a list; OPTION_LIST: one option, for every
                                            item. It may contain itself */
        const char *help;                /* one line */
        const char *pattern;             /* OPTION_STRING: a POSIX extended regular expression */
        const char *expected;            /* the pattern in words, for messages */
};

/*
 * Checks a map against a table: unknown keys, types, ranges and missing keys. Returns a copy that
 * is complete: it has the defaults, the order of the table, a list for every OPTION_REPEATED, and
 * the spec of every child. Null counts as an empty map. NULL: out of memory. A mistake only adds to
 * diag and marks its node as bad.
 */
struct node *option_check(struct document *doc, const struct option_spec *table,
                          const struct node *map, struct diag *diag);

/* Adds a child to a map from option_check(), or replaces the child with the same key. Keeps the
 * order of the table. */
void option_put(const struct node *map, struct node *child);

/*
 * Convert a node. False: it does not have that type; adds a mistake if diag is not NULL, and leaves
 * *ret alone. Durations ("250ms", "3s", "5m", "1h", "0") are in nanoseconds, sizes ("64KiB", "4MB",
 * "512") in bytes.
 */
bool option_int(const struct node *node, int64_t *ret, struct diag *diag);
bool option_bool(const struct node *node, bool *ret, struct diag *diag);
bool option_float(const struct node *node, double *ret, struct diag *diag);
bool option_duration(const struct node *node, int64_t *ret, struct diag *diag);
bool option_size(const struct node *node, int64_t *ret, struct diag *diag);

/*
 * Reads a secret: { file: PATH }, relative to base; { credential: NAME }, in
 * $CREDENTIALS_DIRECTORY; or { env: NAME }. At most 64 KiB, without the final newline; the caller
 * frees it with option_secret_free(), which erases it. False: diag has the mistake. It is a mistake
 * if the file is missing or empty, or if other users can read or write it.
 */
bool option_secret(const struct node *node, const char *base, char **ret, struct diag *diag);
void option_secret_free(char *secret);

/* The path of the secret's file, for free(). NULL: it is not in a file, or out of memory. */
char *option_secret_path(const struct node *node, const char *base);

/* Reads a file of at most size bytes that is not a secret, with the same checks except those of its
 * mode. The caller frees the text. NULL: diag has the mistake. */
char *option_text(const struct node *node, const char *path, size_t size, struct diag *diag);

/* Checks only the form of a secret. */
bool option_secret_check(const struct node *node, struct diag *diag);

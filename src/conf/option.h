/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Tables of options: one table is what the parser accepts, what --print-config and --describe
 * print, what the JSON Schema says, and what the tests hold the man page against. A brick module's
 * own options (struct brick_option of brick.h) are turned into such a table and checked by the same
 * code.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;
struct document;
struct node;

enum option_type { /* the numbers are those of BRICK_STRING and so on */
                   OPTION_STRING = 1,
                   OPTION_INT,
                   OPTION_BOOL,
                   OPTION_FLOAT,
                   OPTION_LIST, /* any list */
                   OPTION_MAP,  /* any map, or the one that `table` describes */
                   OPTION_DURATION,
                   OPTION_SIZE,
                   OPTION_ENUM,
                   OPTION_SECRET,
                   OPTION_BRICK, /* the name of a brick of the file */
                   OPTION_PATH,
};

enum option_flags {
        OPTION_REQUIRED = 1 << 0,
        OPTION_REPEATED = 1 << 1, /* a list of such values; a single value that is no map stands
                                     for a list of one */
        OPTION_NULLABLE = 1 << 2, /* null is a value: none */
        OPTION_LOCAL = 1 << 3,    /* the fallback depends on the installation */
};

struct option_spec {
        const char *name; /* NULL ends a table */
        enum option_type type;
        unsigned flags;
        const char *fallback; /* as it would stand in the file; NULL: none */
        const char *choices; /* OPTION_ENUM: "one|two"; OPTION_INT: words allowed besides numbers */
        int64_t min;         /* inclusive range of numbers, durations (ns), sizes, and of the */
        int64_t max;         /* number of maps in an OPTION_MAP | OPTION_REPEATED; if min < max */
        const struct option_spec *table; /* OPTION_MAP; with OPTION_REPEATED: a list of such maps */
        const char *help;                /* one line */
        const char *pattern;             /* OPTION_STRING: a POSIX extended regular expression */
        const char *expected;            /* what the pattern asks for, in words */
};

/*
 * Checks a map against a table: unknown keys (with the nearest known one), types, ranges, what is
 * missing. Gives the map as the table completes it: fallbacks filled in, keys in the order of the
 * table, lists where OPTION_REPEATED allows a single value; every child names its spec. A null
 * counts as an empty map. NULL: out of memory; mistakes are in diag only.
 */
struct node *option_check(struct document *doc, const struct option_spec *table,
                          const struct node *map, struct diag *diag);

/* Gives a map within what option_check() gave one more child, or another for the one it has under
 * child's key, in its place by the table. */
void option_put(const struct node *map, struct node *child);

/*
 * Values. False, and a diagnostic if diag is not NULL, when the node is not of that type. `ret` is
 * then untouched. Durations are nanoseconds ("250ms", "3s", "5m", "1h", "0"), sizes bytes ("64KiB",
 * "4MB", "512").
 */
bool option_int(const struct node *node, int64_t *ret, struct diag *diag);
bool option_bool(const struct node *node, bool *ret, struct diag *diag);
bool option_float(const struct node *node, double *ret, struct diag *diag);
bool option_duration(const struct node *node, int64_t *ret, struct diag *diag);
bool option_size(const struct node *node, int64_t *ret, struct diag *diag);

/*
 * A secret: { file: PATH }, { credential: NAME } (in $CREDENTIALS_DIRECTORY) or { env: NAME }. The
 * value without its trailing newline, at most 64 KiB, in memory that the caller frees with
 * option_secret_free(), which erases it. A file others can read or write, an empty one, one that is
 * not there: a diagnostic. Paths are relative to base.
 */
bool option_secret(const struct node *node, const char *base, char **ret, struct diag *diag);
void option_secret_free(char *secret);

/* The file that holds the secret. NULL: none does, or out of memory. free() it. */
char *option_secret_path(const struct node *node, const char *base);

/* The text of a file of at most size bytes that holds no secret, read with the same care; free()
 * it. NULL: diag blames the node. */
char *option_text(const struct node *node, const char *path, size_t size, struct diag *diag);

/* Only its form: one of the three, with a name. */
bool option_secret_check(const struct node *node, struct diag *diag);

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
struct node;

enum option_type {
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
        OPTION_REPEATED =
                1 << 1, /* a list of such values; a single value stands for a list of one */
};

struct option_spec {
        const char *name; /* NULL ends a table */
        enum option_type type;
        unsigned flags;
        const char *fallback; /* as it would stand in the file; NULL: none */
        const char *choices;  /* OPTION_ENUM: "one|two" */
        int64_t min;          /* inclusive range of numbers, durations (ns), sizes, if min < max */
        int64_t max;
        const struct option_spec *table; /* OPTION_MAP; with OPTION_REPEATED: a list of such maps */
        const char *help;                /* one line */
};

/* Checks a map against a table: unknown keys (with the nearest known one), types, ranges, what is
 * missing. */
void option_check(const struct option_spec *table, const struct node *map, struct diag *diag);

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
 * option_secret_free(), which erases it. A file others can read, an empty one, one that is not
 * there: a diagnostic. Paths are relative to base.
 */
bool option_secret(const struct node *node, const char *base, char **ret, struct diag *diag);
void option_secret_free(char *secret);

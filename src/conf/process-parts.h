/* SPDX-License-Identifier: MIT */
#pragma once

/* The parts of process.c that read one option each: program, user and environment. */

#include <stddef.h>

struct diag;
struct node;
struct process_spec;

struct strings { /* ends with NULL; NULL is an empty list */
        char **s;
        size_t n;
};

int strings_add(struct strings *strings, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Erases the texts: they may be secrets. */
void strings_done(struct strings *strings);

struct parts {
        const struct node *options; /* complete */
        const char *base;           /* where relative paths start */
        struct strings *environment;
        struct diag *diag;
};

/* All return 0, -EINVAL after a mistake was added to diag, or -ENOMEM. */

/* path, or directory/path if it is relative. NULL: out of memory. */
char *parts_join(const char *directory, const char *path);

/* The absolute path of a program: of a name without a slash, the first one in PATH; another
 * relative one starts at `base`. */
int parts_program(const struct parts *p, const struct node *node, const char *base, char **ret);

int parts_user(const struct parts *p, struct process_spec *spec);

/* Of brickd's own variables only those pass that say where one is: it may have secrets. */
int parts_environment(const struct parts *p, const struct process_spec *spec);

/* After parts_environment(), which may have set the same variables. */
int parts_python_environment(const struct parts *p);

/* Adds BRICKD_ARGUMENTS, as JSON. */
int parts_arguments(const struct parts *p, const struct node *arguments);

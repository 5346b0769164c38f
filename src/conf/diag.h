/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The mistakes of a configuration, each with its line and column. Not thread-safe.
 *
 *   brickd.yaml:14:12: bricks[1].options.model: expected a string, got a list
 *      14 |     model: [a, b]
 *         |            ^
 *
 * diag may be NULL in the functions that add: they then do nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/cleanup.h"

#define DIAG_SHOWN_MAX 20

struct node;
struct diag;

/* name: the file's name for messages. bytes: its text, from which messages quote the line; length 0
 * turns quoting off. Both must outlive the diag. */
int diag_new(struct diag **ret, const char *name, const char *bytes, size_t length);
struct diag *diag_free(struct diag *diag);
DEFINE_CLEANUP(struct diag *, diag_free);

/* Adds a mistake at the value of a node, whose path precedes the message. NULL: a mistake of the
 * whole file. Counts the mistake even if it is out of memory for the text. */
void diag_add(struct diag *diag, const struct node *node, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Like diag_add(), but at the node's key. */
void diag_add_key(struct diag *diag, const struct node *node, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Adds a mistake at a place without a node, such as a syntax error. */
void diag_add_at(struct diag *diag, unsigned line, unsigned column, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* Never quotes this line: it contains a secret. */
void diag_hide_line(struct diag *diag, unsigned line);

size_t diag_count(const struct diag *diag);

/* Further mistakes are only counted, or diag is NULL: the caller need not search for details that
 * take long to find. */
bool diag_is_full(const struct diag *diag);

/* The text of a mistake, without a newline at the end; index counts in the order of places, among
 * the 20 that have a text. NULL: past the end. Owned by diag, and valid until the next mistake is
 * added. */
const char *diag_text(const struct diag *diag, size_t index);

/* For the journal's CONFIG_FILE= and CONFIG_LINE=. Line 0: the whole file. */
const char *diag_name(const struct diag *diag);
unsigned diag_line(const struct diag *diag, size_t index);

/* Writes the mistakes that have a text, sorted by place, and then the number of the others. */
void diag_print(const struct diag *diag, FILE *f);

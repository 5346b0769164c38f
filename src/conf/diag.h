/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is wrong with a configuration: every mistake of one run, each with its place. One thread.
 *
 *   brickd.yaml:14:12: bricks[1].options.model: expected a string, got a list
 *      14 |     model: [a, b]
 *         |            ^
 *
 * Functions that add take a NULL diag, and do nothing then.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/cleanup.h"

#define DIAG_SHOWN_MAX 20

struct node;
struct diag;

/* name: the file as the user knows it; bytes: its text, for the quoted line, or nothing, if none is
 * to be quoted; both must outlive the diag. */
int diag_new(struct diag **ret, const char *name, const char *bytes, size_t length);
struct diag *diag_free(struct diag *diag);
DEFINE_CLEANUP(struct diag *, diag_free);

/* Blames a node, whose path it adds; NULL blames the file as a whole. Out of memory is itself
 * counted. */
void diag_add(struct diag *diag, const struct node *node, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The same, but points to the node's key instead of its value. */
void diag_add_key(struct diag *diag, const struct node *node, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Blames a place that has no node, such as a syntax error. */
void diag_add_at(struct diag *diag, unsigned line, unsigned column, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* The line holds what must not be shown, such as a password: no message quotes it. */
void diag_hide_line(struct diag *diag, unsigned line);

size_t diag_count(const struct diag *diag);

/* A further mistake would be counted only, or there is no diag: what takes long to find out about
 * it need not be. */
bool diag_is_full(const struct diag *diag);

/* The index-th by place of the first 20, without a newline at the end; NULL: past the end. The
 * diag's own, until the next mistake is added. */
const char *diag_text(const struct diag *diag, size_t index);

/* Its parts, for CONFIG_FILE= and CONFIG_LINE=. 0: the file as a whole. */
const char *diag_name(const struct diag *diag);
unsigned diag_line(const struct diag *diag, size_t index);

/* All of them, sorted by place, then "and N more" if there are. */
void diag_print(const struct diag *diag, FILE *f);

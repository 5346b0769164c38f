/* SPDX-License-Identifier: MIT */
#pragma once

/* Owns the nodes and strings of a configuration and frees them together. Not thread-safe. */

#include <regex.h>
#include <stddef.h>

#include "conf/node.h"
#include "util/cleanup.h"

/* The depth limit of a document. Functions that walk a document rely on it and recurse. */
#define DOCUMENT_DEPTH_MAX 64

struct document;

int document_new(struct document **ret);
struct document *document_free(struct document *doc);
DEFINE_CLEANUP(struct document *, document_free);

/* Zeroed. NULL: out of memory. */
void *document_alloc(struct document *doc, size_t size);
char *document_strndup(struct document *doc, const char *s, size_t length);

/* The path itself if it is absolute, otherwise base/path. NULL: out of memory. */
const char *document_path(struct document *doc, const char *base, const char *path);

/* An empty node with the line, column, parent, key and index of `place`. NULL: out of memory. */
struct node *document_node(struct document *doc, const struct node *place, enum node_kind kind);

/* A copy that shares its children and text with the original. NULL: out of memory. */
struct node *document_copy(struct document *doc, const struct node *node);

/*
 * A pattern, extended as in POSIX, compiled: once, since that takes longer than to match it. Lives
 * until document_drop_patterns(). NULL: out of memory. The pattern's own text must live as long.
 */
const regex_t *document_pattern(struct document *doc, const char *pattern);
void document_drop_patterns(struct document *doc);

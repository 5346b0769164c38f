/* SPDX-License-Identifier: MIT */
#pragma once

/* The memory of a configuration: nodes, strings and compiled patterns that go away together. One
 * thread. */

#include <regex.h>
#include <stddef.h>

#include "conf/node.h"
#include "util/cleanup.h"

/* No path through a document is longer: what walks one may recurse. */
#define DOCUMENT_DEPTH_MAX 64

struct document;

int document_new(struct document **ret);
struct document *document_free(struct document *doc);
DEFINE_CLEANUP(struct document *, document_free);

/* Zeroed. NULL: out of memory. */
void *document_alloc(struct document *doc, size_t size);
char *document_strndup(struct document *doc, const char *s, size_t length);

/* A POSIX extended regular expression, a constant, compiled once: that takes a hundred times as
 * long as to match. NULL: out of memory. */
const regex_t *document_regex(struct document *doc, const char *pattern);

/* The path as it is, if it is absolute; else under base. NULL: out of memory. */
const char *document_path(struct document *doc, const char *base, const char *path);

/* A node where `place` stands, with its parent, key and index, and nothing in it. */
struct node *document_node(struct document *doc, const struct node *place, enum node_kind kind);

/* A copy that shares its children and texts with the original. */
struct node *document_copy(struct document *doc, const struct node *node);

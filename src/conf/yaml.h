/* SPDX-License-Identifier: MIT */
#pragma once

/* YAML in and out. What the configuration uses of YAML: maps, lists, scalars, anchors and aliases;
 * no tags, no merge keys, one document. */

#include <stdio.h>

struct diag;
struct document;
struct node;

/*
 * Reads the tree; an empty file is a null. Mistakes go to diag, and the tree is there all the same
 * if it could be told what was meant. -EINVAL: it could not; -ENOMEM.
 */
int yaml_parse(struct document *doc, const char *bytes, size_t length, struct diag *diag,
               struct node **ret);

/* The same, but a $ in a text is a $, and no variable is replaced. */
int yaml_parse_verbatim(struct document *doc, const char *bytes, size_t length, struct diag *diag,
                        struct node **ret);

/* Writes a tree that reads back as the same. */
int yaml_print(const struct node *root, FILE *f);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads and writes the subset of YAML that the configuration uses: one document of maps, lists,
 * scalars, anchors and aliases. Tags and merge keys are mistakes. */

#include <stdio.h>

struct diag;
struct document;
struct node;

/*
 * Parses a file into a tree; an empty file is a null. Mistakes go to diag. 0: there is a tree,
 * although there may be mistakes; -EINVAL: the text cannot be parsed; -ENOMEM.
 */
int yaml_parse(struct document *doc, const char *bytes, size_t length, struct diag *diag,
               struct node **ret);

/* Like yaml_parse(), but does not replace variables: a $ is a $. */
int yaml_parse_verbatim(struct document *doc, const char *bytes, size_t length, struct diag *diag,
                        struct node **ret);

/* Writes a tree in a form that yaml_parse() reads back as the same tree. */
int yaml_print(const struct node *root, FILE *f);

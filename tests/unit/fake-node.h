/* SPDX-License-Identifier: MIT */
#pragma once

/* Options of a brick in a unit test: a YAML flow map of lists, maps, and plain and "quoted"
 * scalars. The functions below are those of struct brick_host. */

#include <stdbool.h>

#include "brick.h"

struct brick_node {
        uint32_t type; /* BRICK_MAP, BRICK_LIST; 0: a scalar */
        bool quoted;
        char *key;
        char *text;
        struct brick_node *first, *next; /* child, sibling */
};

/* Reads one node, and moves *s behind it. A mistake aborts the test. */
struct brick_node *fake_node_parse(const char **s);

/* Frees a node and its siblings. Returns NULL. */
struct brick_node *fake_node_free(struct brick_node *node);

const struct brick_node *fake_node_get(const struct brick_node *map, const char *key);
size_t fake_node_size(const struct brick_node *node);
const struct brick_node *fake_node_at(const struct brick_node *node, size_t index);
struct brick_str fake_node_key(const struct brick_node *map, size_t index);
struct brick_str fake_node_str(const struct brick_node *node);
int64_t fake_node_int(const struct brick_node *node);
double fake_node_float(const struct brick_node *node);
uint32_t fake_node_type(const struct brick_node *node);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The configuration file as a tree. Every node has its line and column, which count from 1; columns
 * count characters. Immutable once loaded; any thread may read it.
 */

#include <stdbool.h>
#include <stddef.h>

struct option_spec;

enum node_kind {
        NODE_SCALAR = 1,
        NODE_LIST,
        NODE_MAP,
};

struct node {
        enum node_kind kind;
        unsigned line;
        unsigned column;
        const struct node *parent; /* NULL: the root */

        /* its key in a parent map, or its index in a parent list */
        const char *key;
        unsigned key_line;
        unsigned key_column;
        size_t index;

        /* NODE_SCALAR: UTF-8 without NUL; yaml_parse() has replaced ${NAME} */
        const char *text;
        size_t length;
        bool plain;    /* not quoted, no variable replaced: may be a number, a boolean or null */
        bool bad;      /* a mistake has been reported: skip further checks */
        bool fallback; /* it stands in for what the file omits, at the place of the map around it */

        /* set by option_check(); NULL: not an option of a table */
        const struct option_spec *spec;

        /* NODE_LIST, NODE_MAP; a map's children carry their key */
        const struct node **children;
        size_t n_children;
};

/* NULL: map is NULL or not a map, or does not have the key. */
const struct node *node_get(const struct node *map, const char *key);

/* An unquoted null, ~ or empty scalar. */
bool node_is_null(const struct node *node);

/* Writes "bricks[1].options.model", cut to fit; "" for the root. */
void node_path(const struct node *node, char *buffer, size_t size);

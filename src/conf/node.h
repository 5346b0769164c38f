/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The configuration file as a tree of nodes that know where they stand in it. Immutable once
 * loaded; any thread may read. Lines and columns count from 1, columns in characters.
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

        /* the key (in a map) or the index (in a list) under which the parent has it */
        const char *key;
        unsigned key_line;
        unsigned key_column;
        size_t index;

        /* NODE_SCALAR: UTF-8 without NUL bytes, ${ENV} already replaced, if that was asked for */
        const char *text;
        size_t length;
        bool plain; /* neither quoted nor replaced: may be a number, a boolean or null */
        bool bad;   /* has been blamed: further checks pass over it */

        /* what option_check() has found it to be; NULL: not one of a table's options */
        const struct option_spec *spec;

        /* NODE_LIST, NODE_MAP; a map's children carry their key */
        const struct node **children;
        size_t n_children;
};

/* NULL if map is NULL or no map, or has no such key. */
const struct node *node_get(const struct node *map, const char *key);

/* A plain `null`, `~` or nothing at all. */
bool node_is_null(const struct node *node);

/* "bricks[1].options.model", cut to fit; "" for the root. */
void node_path(const struct node *node, char *buffer, size_t size);

/* SPDX-License-Identifier: MIT */
#pragma once

/* A rule file as a tree of items that know where they stand in it, and what is wrong with it. */

#include <stdbool.h>
#include <stddef.h>

enum item_kind {
        ITEM_SCALAR = 1,
        ITEM_LIST,
        ITEM_MAP,
};

struct item {
        enum item_kind kind;
        unsigned line; /* from 1, as the column */
        unsigned column;
        const struct item *parent; /* NULL: the root */
        char *key;                 /* in a map */
        size_t index;              /* in a list */

        char *text; /* ITEM_SCALAR: UTF-8 */
        size_t length;
        bool plain; /* not quoted: may be a number or a boolean */

        struct item **children; /* ITEM_LIST, ITEM_MAP */
        size_t n;
        size_t allocated;
};

#define PROBLEMS_SHOWN 20

/* Mistakes as lines of text, "file:line:col: path: reason". All zero: none. */
struct problems {
        char *lines[PROBLEMS_SHOWN];
        size_t count; /* also of those past PROBLEMS_SHOWN */
};

void problems_done(struct problems *problems);

/* One of those that are shown. */
const char *problems_line(const struct problems *problems, size_t index);

/* Blames an item of a file; item NULL blames the file. */
void problem_add(struct problems *problems, const char *file, const struct item *item,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* NULL: problems say why. Free it with item_free(). Anchors, aliases, tags, several documents,
 * duplicate keys and deep nesting are refused. */
struct item *document_parse(const char *file, const char *bytes, size_t length,
                            struct problems *problems);
struct item *item_free(struct item *item);

/* NULL: no map, or no such key. */
const struct item *item_get(const struct item *map, const char *key);
bool item_is(const struct item *item, const char *text);

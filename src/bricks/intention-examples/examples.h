/* SPDX-License-Identifier: MIT */
#pragma once

/* Categories and their examples, as a configuration or a file names them. */

#include <stddef.h>

#include "brick-yaml.h"

#define EXAMPLES_MAX 20000
#define EXAMPLES_CATEGORIES_MAX 1000
#define EXAMPLES_NAME_MAX 64 /* bytes of a category's name */

struct example {
        char *text;
        size_t category;
};

struct examples {
        struct example **list;
        size_t n;
        char **categories;
        size_t n_categories;
        void *known; /* the same as a tree, by text */
};

struct examples *examples_new(void); /* NULL: out of memory */
void examples_free(struct examples *examples);

/* Why something was refused; for a message with the place. */
struct examples_reason {
        char text[256];
};

/* Add a category, and an example to the last one. 0; -EINVAL: see *reason; -ENOMEM. An example that
 * the category already has is left out. */
int examples_add_category(struct examples *examples, const char *name,
                          struct examples_reason *reason);
int examples_add(struct examples *examples, const char *text, struct examples_reason *reason);

/* A YAML file: a map of categories, each with a list of examples. 0; -EINVAL: its mistakes say why;
 * -ENOMEM. */
int examples_read(struct examples *examples, struct brick_yaml *yaml, const char *bytes,
                  size_t length);

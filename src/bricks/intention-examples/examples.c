/* SPDX-License-Identifier: MIT */
#include "examples.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feature.h"

struct examples *examples_new(void)
{
        return calloc(1, sizeof(struct examples));
}

static void ignore(void *p)
{
}

void examples_free(struct examples *examples)
{
        if (!examples)
                return;
        tdestroy(examples->known, ignore);
        for (size_t i = 0; i < examples->n; i++) {
                free(examples->list[i]->text);
                free(examples->list[i]);
        }
        for (size_t i = 0; i < examples->n_categories; i++)
                free(examples->categories[i]);
        free(examples->list);
        free(examples->categories);
        free(examples);
}

BRICK_PRINTF(2, 3)
static int refuse(struct examples_reason *reason, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(reason->text, sizeof reason->text, format, args);
        va_end(args);
        return -EINVAL;
}

/* Makes room for one more element. The array's size doubles. */
static int grow(void *array, size_t n, size_t size)
{
        void *p;

        if ((n & (n - 1)) != 0)
                return 0;
        memcpy(&p, array, sizeof p); /* array points to a pointer of another type */
        p = reallocarray(p, n ? 2 * n : 1, size);
        if (!p)
                return -ENOMEM;
        memcpy(array, &p, sizeof p);
        return 0;
}

int examples_add_category(struct examples *examples, const char *name,
                          struct examples_reason *reason)
{
        if (!*name || strlen(name) > EXAMPLES_NAME_MAX)
                return refuse(reason, "a category has a name of 1 to %d bytes", EXAMPLES_NAME_MAX);
        if (examples->n_categories == EXAMPLES_CATEGORIES_MAX)
                return refuse(reason, "there are more than %d categories", EXAMPLES_CATEGORIES_MAX);
        for (size_t i = 0; i < examples->n_categories; i++)
                if (strcmp(examples->categories[i], name) == 0)
                        return refuse(reason, "there is already a category '%s'", name);
        if (grow(&examples->categories, examples->n_categories, sizeof(char *)) < 0)
                return -ENOMEM;
        examples->categories[examples->n_categories] = strdup(name);
        return examples->categories[examples->n_categories++] ? 0 : -ENOMEM;
}

static int by_text(const void *a, const void *b)
{
        const struct example *x = a, *y = b;

        return strcmp(x->text, y->text);
}

static int check_text(const char *text, struct examples_reason *reason)
{
        struct features features;

        if (strlen(text) > FEATURES_TEXT_MAX)
                return refuse(reason, "an example has at most %d bytes", FEATURES_TEXT_MAX);
        features_of(text, strlen(text), &features);
        return features.n > 0 ? 0 : refuse(reason, "an example needs letters or digits");
}

/* Takes the example into the tree. 0; 1: the last category has it already. */
static int enter(struct examples *examples, struct example *example, struct examples_reason *reason)
{
        struct example **found = tsearch(example, &examples->known, by_text);

        if (!found)
                return -ENOMEM;
        if (*found == example)
                return 0;
        if ((*found)->category == example->category)
                return 1;
        return refuse(reason, "this is an example of '%s' as well",
                      examples->categories[(*found)->category]);
}

int examples_add(struct examples *examples, const char *text, struct examples_reason *reason)
{
        struct example *example;
        int r = check_text(text, reason);

        if (r < 0)
                return r;
        if (examples->n == EXAMPLES_MAX)
                return refuse(reason, "there are more than %d examples", EXAMPLES_MAX);
        example = calloc(1, sizeof *example);
        if (!example || grow(&examples->list, examples->n, sizeof example) < 0) {
                free(example);
                return -ENOMEM;
        }
        example->category = examples->n_categories - 1;
        example->text = strdup(text);
        r = example->text ? enter(examples, example, reason) : -ENOMEM;
        if (r == 0) {
                examples->list[examples->n++] = example;
                return 0;
        }
        free(example->text);
        free(example);
        return r < 0 ? r : 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int blame(struct brick_yaml *yaml, const struct brick_yaml_node *node, int r,
                 const struct examples_reason *reason)
{
        if (r == -EINVAL)
                brick_yaml_blame(yaml, node, "%s", reason->text);
        return r == -ENOMEM ? r : 0;
}

static int read_category(struct examples *examples, struct brick_yaml *yaml,
                         const struct brick_yaml_node *node)
{
        struct examples_reason reason;
        int r = examples_add_category(examples, brick_yaml_key(node), &reason);

        if (r < 0) {
                if (r == -EINVAL)
                        brick_yaml_blame_key(yaml, node, "%s", reason.text);
                return r == -ENOMEM ? r : 0;
        }
        if (brick_yaml_kind(node) != BRICK_YAML_LIST || brick_yaml_size(node) == 0)
                brick_yaml_blame(yaml, node, "expected a list of examples");
        for (size_t i = 0; r == 0 && i < brick_yaml_size(node); i++) {
                const struct brick_yaml_node *item = brick_yaml_at(node, i);
                const char *text = brick_yaml_text(item);

                if (text)
                        r = blame(yaml, item, examples_add(examples, text, &reason), &reason);
                else
                        brick_yaml_blame(yaml, item, "expected a text, an example");
        }
        return r;
}

int examples_read(struct examples *examples, struct brick_yaml *yaml, const char *bytes,
                  size_t length)
{
        const struct brick_yaml_node *root = brick_yaml_parse(yaml, bytes, length);
        int r = 0;

        if (root && (brick_yaml_kind(root) != BRICK_YAML_MAP || brick_yaml_size(root) == 0))
                brick_yaml_blame(yaml, root,
                                 "expected a map of categories, each with a list of examples");
        else
                for (size_t i = 0; r == 0 && i < brick_yaml_size(root); i++)
                        r = read_category(examples, yaml, brick_yaml_at(root, i));
        if (r < 0)
                return r;
        return brick_yaml_mistakes(yaml) > 0 ? -EINVAL : 0;
}

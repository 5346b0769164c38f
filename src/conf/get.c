/* SPDX-License-Identifier: MIT */
#include "conf/get.h"

#include "conf/document.h"
#include "conf/node.h"
#include "conf/option.h"
#include "conf/value.h"

const struct node *get_node(const struct node *map, const char *key)
{
        const struct node *node = node_get(map, key);

        return node && !node->bad ? node : NULL;
}

const char *get_string(const struct node *map, const char *key)
{
        const struct node *node = get_node(map, key);

        return node && node->kind == NODE_SCALAR && !node_is_null(node) ? node->text : NULL;
}

bool get_bool(const struct node *map, const char *key)
{
        const struct node *node = get_node(map, key);
        bool value = false;

        return node && option_bool(node, &value, NULL) && value;
}

int64_t get_number(const struct node *map, const char *key)
{
        const struct node *node = get_node(map, key);
        int64_t value = 0;

        if (!node)
                return 0;
        if (node->spec->type == OPTION_DURATION)
                (void)option_duration(node, &value, NULL);
        else if (node->spec->type == OPTION_SIZE)
                (void)option_size(node, &value, NULL);
        else
                (void)option_int(node, &value, NULL);
        return value;
}

int get_choice(const struct node *map, const char *key)
{
        const struct node *node = get_node(map, key);
        int r;

        r = node ? value_parse_choice(node->text, node->spec->choices) : 0;
        return r < 0 ? 0 : r;
}

int get_strings(struct document *doc, const struct node *map, const char *key, const char ***ret,
                size_t *ret_n)
{
        const struct node *list = get_node(map, key);
        const char **strings;
        size_t n = 0;

        if (!list)
                return 0;
        strings = document_alloc(doc, list->n_children * sizeof strings[0]);
        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++)
                if (!list->children[i]->bad)
                        strings[n++] = list->children[i]->text;
        *ret = strings;
        *ret_n = n;
        return 0;
}

int get_path(struct document *doc, const char *base, const struct node *map, const char *key,
             const char **ret)
{
        const struct node *node = get_node(map, key);
        const char *path;

        if (!node)
                return 0;
        path = document_path(doc, base, node->text);
        if (!path)
                return -ENOMEM;
        *ret = path;
        return 0;
}

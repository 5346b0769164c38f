/* SPDX-License-Identifier: MIT */
#include "conf/node.h"

#include <stdio.h>
#include <string.h>

#include "conf/document.h"
#include "util/utf8.h"

#define KEY_MAX 64 /* bytes of a key that a path shows */

const struct node *node_get(const struct node *map, const char *key)
{
        if (!map || map->kind != NODE_MAP)
                return NULL;

        for (size_t i = 0; i < map->n_children; i++)
                if (strcmp(map->children[i]->key, key) == 0)
                        return map->children[i];
        return NULL;
}

bool node_is_null(const struct node *node)
{
        static const char *const words[] = { "", "~", "null", "Null", "NULL" };

        if (node->kind != NODE_SCALAR || !node->plain)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(node->text, words[i]) == 0)
                        return true;
        return false;
}

void node_path(const struct node *node, char *buffer, size_t size)
{
        const struct node *steps[DOCUMENT_DEPTH_MAX + 1];
        size_t n = 0, used = 0;
        int r;

        for (; node && node->parent && n < ELEMENTSOF(steps); node = node->parent)
                steps[n++] = node;

        buffer[0] = '\0';
        while (n > 0 && used < size) {
                node = steps[--n];
                if (node->key)
                        r = snprintf(buffer + used, size - used, "%s%.*s", used > 0 ? "." : "",
                                     (int)utf8_prefix(node->key, strnlen(node->key, KEY_MAX + 1),
                                                      KEY_MAX),
                                     node->key);
                else
                        r = snprintf(buffer + used, size - used, "[%zu]", node->index);
                if (r < 0)
                        return;
                used += (size_t)r;
        }
}

/* SPDX-License-Identifier: MIT */
#include "fake-node.h"

#include <stdlib.h>
#include <string.h>

#include "conf/value.h"
#include "fake-impl.h"

struct brick_node *fake_node_free(struct brick_node *node)
{
        for (struct brick_node *next; node; node = next) {
                next = node->next;
                (void)fake_node_free(node->first);
                free(node->key);
                free(node->text);
                free(node);
        }
        return NULL;
}

static const char *skip_space(const char *s)
{
        return s + strspn(s, " \n");
}

static void parse_children(struct brick_node *parent, const char **s, char end)
{
        struct brick_node **place = &parent->first;

        for (*s = skip_space(*s + 1); **s != end; *s = skip_space(*s)) {
                char *key = NULL;
                size_t n;

                if (parent->type == BRICK_MAP) {
                        n = strcspn(*s, ":");
                        key = fake_must(strndup(*s, n));
                        *s += n + 1;
                }
                *place = fake_node_parse(s);
                (*place)->key = key;
                place = &(*place)->next;
                *s = skip_space(*s);
                if (**s == ',')
                        ++*s;
                else if (**s != end)
                        fake_die("bad options near '%s'", *s);
        }
        ++*s;
}

struct brick_node *fake_node_parse(const char **s)
{
        struct brick_node *node = fake_must(calloc(1, sizeof *node));
        size_t n;

        *s = skip_space(*s);
        if (**s == '{' || **s == '[') {
                node->type = **s == '{' ? BRICK_MAP : BRICK_LIST;
                parse_children(node, s, **s == '{' ? '}' : ']');
        } else if (**s == '"') {
                n = strcspn(*s + 1, "\"");
                node->quoted = true;
                node->text = fake_must(strndup(*s + 1, n));
                *s += n + 2;
        } else {
                n = strcspn(*s, ",]}");
                while (n > 0 && (*s)[n - 1] == ' ')
                        n--;
                node->text = fake_must(strndup(*s, n));
                *s += n;
        }
        return node;
}

const struct brick_node *fake_node_get(const struct brick_node *map, const char *key)
{
        if (!map || map->type != BRICK_MAP)
                return NULL;
        for (const struct brick_node *node = map->first; node; node = node->next)
                if (strcmp(node->key, key) == 0)
                        return node;
        return NULL;
}

size_t fake_node_size(const struct brick_node *node)
{
        size_t n = 0;

        for (node = node ? node->first : NULL; node; node = node->next)
                n++;
        return n;
}

const struct brick_node *fake_node_at(const struct brick_node *node, size_t index)
{
        for (node = node ? node->first : NULL; node && index > 0; node = node->next)
                index--;
        return node;
}

struct brick_str fake_node_key(const struct brick_node *map, size_t index)
{
        const struct brick_node *node = fake_node_at(map, index);

        return brick_str(node ? node->key : NULL);
}

struct brick_str fake_node_str(const struct brick_node *node)
{
        return brick_str(node ? node->text : NULL);
}

int64_t fake_node_int(const struct brick_node *node)
{
        int64_t value = 0;
        bool truth = false;

        if (!node || !node->text || value_parse_int(node->text, &value) == 0)
                return value;
        if (value_parse_bool(node->text, &truth) == 0)
                return truth;
        if (value_parse_duration(node->text, &value) < 0)
                (void)value_parse_size(node->text, &value);
        return value;
}

double fake_node_float(const struct brick_node *node)
{
        double value = 0;

        if (node && node->text)
                (void)value_parse_float(node->text, &value);
        return value;
}

uint32_t fake_node_type(const struct brick_node *node)
{
        int64_t i;
        double f;
        bool b;

        if (!node || node->type)
                return node ? node->type : 0;
        if (node->quoted)
                return BRICK_STRING;
        if (value_parse_int(node->text, &i) == 0)
                return BRICK_INT;
        if (value_parse_bool(node->text, &b) == 0)
                return BRICK_BOOL;
        return value_parse_float(node->text, &f) == 0 ? BRICK_FLOAT : BRICK_STRING;
}

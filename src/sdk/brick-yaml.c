/* SPDX-License-Identifier: MIT */
#include "brick-yaml.h"

#include <stdarg.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/node.h"
#include "conf/yaml.h"

_Static_assert((int)BRICK_YAML_SCALAR == NODE_SCALAR && (int)BRICK_YAML_LIST == NODE_LIST &&
                       (int)BRICK_YAML_MAP == NODE_MAP,
               "kinds of nodes have the numbers of the core's");

struct brick_yaml {
        char *name;
        struct document *document;
        struct diag *diag;
};

/* A struct brick_yaml_node is a struct node, which bricks do not see. */
static const struct node *in(const struct brick_yaml_node *node)
{
        return (const struct node *)node;
}

static const struct brick_yaml_node *out(const struct node *node)
{
        return (const struct brick_yaml_node *)node;
}

int brick_yaml_new(struct brick_yaml **ret, const char *name)
{
        struct brick_yaml *yaml;

        yaml = calloc(1, sizeof *yaml);
        if (!yaml)
                return -ENOMEM;
        yaml->name = strdup(name);
        /* Without the text, no line is quoted, so that each mistake is one line. */
        if (!yaml->name || document_new(&yaml->document) < 0 ||
            diag_new(&yaml->diag, yaml->name, "", 0) < 0) {
                brick_yaml_free(yaml);
                return -ENOMEM;
        }
        *ret = yaml;
        return 0;
}

void brick_yaml_free(struct brick_yaml *yaml)
{
        if (!yaml)
                return;
        diag_free(yaml->diag);
        document_free(yaml->document);
        free(yaml->name);
        free(yaml);
}

const struct brick_yaml_node *brick_yaml_parse(struct brick_yaml *yaml, const char *bytes,
                                               size_t length)
{
        struct node *root;
        int r;

        r = yaml_parse_verbatim(yaml->document, bytes, length, yaml->diag, &root);
        if (r == -ENOMEM)
                diag_add(yaml->diag, NULL, "out of memory");
        return r < 0 ? NULL : out(root);
}

enum brick_yaml_kind brick_yaml_kind(const struct brick_yaml_node *node)
{
        return node ? (enum brick_yaml_kind)in(node)->kind : 0;
}

size_t brick_yaml_size(const struct brick_yaml_node *node)
{
        return node ? in(node)->n_children : 0;
}

const struct brick_yaml_node *brick_yaml_at(const struct brick_yaml_node *node, size_t index)
{
        return index < brick_yaml_size(node) ? out(in(node)->children[index]) : NULL;
}

const struct brick_yaml_node *brick_yaml_get(const struct brick_yaml_node *map, const char *key)
{
        return out(node_get(in(map), key));
}

const char *brick_yaml_key(const struct brick_yaml_node *node)
{
        return node ? in(node)->key : NULL;
}

const char *brick_yaml_text(const struct brick_yaml_node *node)
{
        return node ? in(node)->text : NULL;
}

int brick_yaml_plain(const struct brick_yaml_node *node)
{
        return node && in(node)->plain;
}

void brick_yaml_blame(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                      const char *format, ...)
{
        struct brick_line reason;
        va_list args;

        if (node && in(node)->bad)
                return;
        va_start(args, format);
        brick_line_format(&reason, format, args);
        va_end(args);
        diag_add(yaml->diag, in(node), "%s", reason.text.ptr);
        brick_line_free(&reason);
}

void brick_yaml_blame_key(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                          const char *format, ...)
{
        struct brick_line reason;
        va_list args;

        va_start(args, format);
        brick_line_format(&reason, format, args);
        va_end(args);
        diag_add_key(yaml->diag, in(node), "%s", reason.text.ptr);
        brick_line_free(&reason);
}

size_t brick_yaml_mistakes(const struct brick_yaml *yaml)
{
        return diag_count(yaml->diag);
}

const char *brick_yaml_mistake(const struct brick_yaml *yaml, size_t index)
{
        return diag_text(yaml->diag, index);
}

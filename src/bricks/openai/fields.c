/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "writer.h"

static void write_value(struct writer *out, const struct brick_node *node);

static void write_list(struct writer *out, const struct brick_node *list)
{
        writer_puts(out, "[");
        for (size_t i = 0; i < brick_host->node_size(list); i++) {
                if (i > 0)
                        writer_puts(out, ",");
                write_value(out, brick_host->node_at(list, i));
        }
        writer_puts(out, "]");
}

static void write_map(struct writer *out, const struct brick_node *map)
{
        writer_puts(out, "{");
        for (size_t i = 0; i < brick_host->node_size(map); i++) {
                if (i > 0)
                        writer_puts(out, ",");
                writer_string(out, brick_host->node_key(map, i).ptr);
                writer_puts(out, ":");
                write_value(out, brick_host->node_at(map, i));
        }
        writer_puts(out, "}");
}

static void write_value(struct writer *out, const struct brick_node *node)
{
        switch (brick_host->node_type(node)) {
        case BRICK_MAP:
                write_map(out, node);
                return;
        case BRICK_LIST:
                write_list(out, node);
                return;
        case BRICK_INT:
                writer_int(out, brick_host->node_int(node));
                return;
        case BRICK_BOOL:
                writer_puts(out, brick_host->node_int(node) ? "true" : "false");
                return;
        case BRICK_FLOAT:
                writer_number(out, brick_host->node_float(node));
                return;
        case 0:
                writer_puts(out, "null");
                return;
        default:
                writer_string(out, config_string(node));
        }
}

static int read_field(struct config *config, const struct brick_node *map, size_t i)
{
        struct request_field *field = &config->request.fields[i];
        const struct brick_node *node = brick_host->node_at(map, i);
        struct writer out = {};

        field->name = strdup(brick_host->node_key(map, i).ptr);
        if (!field->name)
                return -ENOMEM;
        config->request.n_fields++;
        if (request_is_reserved(field->name))
                return config_refuse(config, node,
                                     "the brick sets this field itself, from the request and the "
                                     "other options");
        write_value(&out, node);
        writer_add(&out, "", 1); /* the NUL */
        field->json = out.p;
        return out.failed ? -ENOMEM : 0;
}

int config_read_fields(struct config *config, const struct brick_node *node)
{
        const struct brick_node *map = config_option(node, "body");
        size_t n = brick_host->node_size(map);
        int r = 0;

        if (n == 0)
                return 0;
        config->request.fields = calloc(n, sizeof *config->request.fields);
        if (!config->request.fields)
                return -ENOMEM;
        for (size_t i = 0; i < n && r == 0; i++)
                r = read_field(config, map, i);
        return r;
}

/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "writer.h"

static int write_value(struct config *config, struct writer *out, const struct brick_node *node);

static int write_list(struct config *config, struct writer *out, const struct brick_node *list)
{
        int r = 0;

        writer_puts(out, "[");
        for (size_t i = 0; i < brick_host->node_size(list) && r == 0; i++) {
                if (i > 0)
                        writer_puts(out, ",");
                r = write_value(config, out, brick_host->node_at(list, i));
        }
        writer_puts(out, "]");
        return r;
}

static int write_map(struct config *config, struct writer *out, const struct brick_node *map)
{
        int r = 0;

        writer_puts(out, "{");
        for (size_t i = 0; i < brick_host->node_size(map) && r == 0; i++) {
                if (i > 0)
                        writer_puts(out, ",");
                writer_string(out, brick_host->node_key(map, i).ptr);
                writer_puts(out, ":");
                r = write_value(config, out, brick_host->node_at(map, i));
        }
        writer_puts(out, "}");
        return r;
}

static int write_value(struct config *config, struct writer *out, const struct brick_node *node)
{
        switch (brick_host->node_type(node)) {
        case BRICK_MAP:
                return write_map(config, out, node);
        case BRICK_LIST:
                return write_list(config, out, node);
        case BRICK_INT:
                writer_int(out, brick_host->node_int(node));
                return 0;
        case BRICK_BOOL:
                writer_puts(out, brick_host->node_int(node) ? "true" : "false");
                return 0;
        case BRICK_FLOAT:
                if (!isfinite(brick_host->node_float(node)))
                        return config_refuse(config, node, "JSON has no such number");
                writer_number(out, brick_host->node_float(node));
                return 0;
        case 0:
                writer_puts(out, "null");
                return 0;
        default:
                writer_string(out, config_string(node));
                return 0;
        }
}

static int read_field(struct config *config, const struct brick_node *map, size_t i)
{
        struct request_field *field = &config->request.fields[i];
        const struct brick_node *node = brick_host->node_at(map, i);
        struct writer out = {};
        int r;

        field->name = strdup(brick_host->node_key(map, i).ptr);
        if (!field->name)
                return -ENOMEM;
        config->request.n_fields++;
        if (request_is_reserved(field->name))
                return config_refuse(config, node,
                                     "the brick sets this field itself, from the request and the "
                                     "other options");
        r = write_value(config, &out, node);
        writer_add(&out, "", 1);
        field->json = out.p;
        return out.failed ? -ENOMEM : r;
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

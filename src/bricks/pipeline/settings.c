/* SPDX-License-Identifier: MIT */

/* The option `set`: templates for the fields of a request, as they stand in the YAML. */

#include <stdlib.h>
#include <string.h>

#include "plan.h"

static const struct expr_type any_type = { .kind = EXPR_ANY };

int plan_compile(struct brick_ctx *ctx, const struct brick_node *node, bool template,
                 const struct expr_scope *scope, const struct expr_type *want, struct expr **ret)
{
        struct brick_str text = brick_host->node_str(node);
        struct expr_mistake mistake;
        int r;

        r = template ? expr_compile_template(text.ptr, text.len, scope, want, ret, &mistake)
                     : expr_compile(text.ptr, text.len, scope, want, ret, &mistake);
        if (r != -EINVAL)
                return r;
        if (memchr(text.ptr, '\n', text.len))
                brick_node_errorf(brick_host, ctx, node, "line %u, column %u of the text: %s",
                                  mistake.line, mistake.column, mistake.text);
        else
                brick_node_errorf(brick_host, ctx, node, "column %u of the text: %s",
                                  mistake.column, mistake.text);
        return r;
}

/* A text is a template. What stands for a number or a truth value may be written without {{ }}. */
static bool is_template(const struct brick_node *node, const struct expr_type *want)
{
        if (want->kind == EXPR_TEXT)
                return true;
        if (want->kind == EXPR_ANY)
                return brick_host->node_type(node) == BRICK_STRING;
        return strstr(brick_host->node_str(node).ptr, "{{") != NULL;
}

static int compile(struct setting *setting, struct brick_ctx *ctx, const struct brick_node *node,
                   const struct expr_scope *scope, const struct expr_type *want)
{
        return plan_compile(ctx, node, is_template(node, want), scope, want, &setting->expr);
}

static int compile_field(struct setting *setting, struct brick_ctx *ctx,
                         const struct brick_node *node, const struct expr_scope *scope,
                         const struct expr_type *want)
{
        int r = compile(setting, ctx, node, scope, want);

        if (r < 0 || expr_fits_field(setting->expr, setting->field))
                return r;
        if (setting->field->type == PROTOBUF_C_TYPE_FLOAT)
                brick_host->node_error(ctx, node, brick_str("this number is too large"));
        else
                brick_host->node_error(ctx, node,
                                       brick_str("a whole number within the range of the field is "
                                                 "needed here"));
        return -EINVAL;
}

static bool is_struct(const ProtobufCMessageDescriptor *type)
{
        return type == BRICK_DESCRIPTOR(Struct);
}

/* A list of maps, or one map. */
static int read_maps(struct setting *setting, struct brick_ctx *ctx, const struct brick_node *node,
                     const ProtobufCMessageDescriptor *type, const struct expr_scope *scope)
{
        bool list = brick_host->node_type(node) == BRICK_LIST;
        size_t n = list ? brick_host->node_size(node) : 1;
        int r = 0;

        setting->maps = calloc(n + 1, sizeof setting->maps[0]);
        if (!setting->maps)
                return -ENOMEM;
        setting->n_maps = n;
        for (size_t i = 0; i < n; i++) {
                int q = settings_read(&setting->maps[i], ctx,
                                      list ? brick_host->node_at(node, i) : node, type, scope);

                if (q < 0)
                        r = q;
        }
        return r;
}

static int read_field(struct setting *setting, struct brick_ctx *ctx, const struct brick_node *node,
                      const struct expr_scope *scope)
{
        const ProtobufCFieldDescriptor *field = setting->field;
        struct expr_type want = expr_type_of_field(field);
        struct expr_type_name name = expr_type_name(&want);
        uint32_t given = brick_host->node_type(node);
        bool list = want.kind == EXPR_LIST && want.of == EXPR_MESSAGE && given == BRICK_LIST;
        bool map = want.kind == EXPR_MESSAGE && is_struct(want.message) && given == BRICK_MAP;

        if (list || map)
                return read_maps(setting, ctx, node, want.message, scope);
        if (given != BRICK_LIST && given != BRICK_MAP)
                return compile_field(setting, ctx, node, scope, &want);
        brick_node_errorf(brick_host, ctx, node, "expected %s, got a %s", name.text,
                          given == BRICK_LIST ? "list" : "map");
        return -EINVAL;
}

static int read_key(struct setting *setting, struct brick_ctx *ctx, const struct brick_node *node,
                    const struct expr_scope *scope)
{
        uint32_t given = brick_host->node_type(node);

        if (given == BRICK_LIST || given == BRICK_MAP) {
                brick_host->node_error(ctx, node,
                                       brick_str("expected a text, a number, true or "
                                                 "false"));
                return -EINVAL;
        }
        return compile(setting, ctx, node, scope, &any_type);
}

static int unknown_field(struct brick_ctx *ctx, const struct brick_node *node,
                         const ProtobufCMessageDescriptor *type)
{
        char names[256] = "";
        size_t used = 0;

        for (unsigned i = 0; i < type->n_fields; i++) {
                int n = snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 type->fields[i].name);

                if (n > 0 && (size_t)n < sizeof names - used)
                        used += (size_t)n;
        }
        brick_node_errorf(brick_host, ctx, node, "%s has no such field; it has %s",
                          type->short_name, names);
        return -EINVAL;
}

static int read_one(struct setting *setting, struct brick_ctx *ctx, const struct brick_node *map,
                    size_t index, const ProtobufCMessageDescriptor *type,
                    const struct expr_scope *scope)
{
        const struct brick_node *node = brick_host->node_at(map, index);

        setting->key = strndup(brick_host->node_key(map, index).ptr,
                               brick_host->node_key(map, index).len);
        if (!setting->key)
                return -ENOMEM;
        if (is_struct(type))
                return read_key(setting, ctx, node, scope);
        setting->field = field_named(type, setting->key);
        return setting->field ? read_field(setting, ctx, node, scope)
                              : unknown_field(ctx, node, type);
}

int settings_read(struct settings *settings, struct brick_ctx *ctx, const struct brick_node *map,
                  const ProtobufCMessageDescriptor *type, const struct expr_scope *scope)
{
        size_t n = brick_host->node_size(map);
        int r = 0;

        if (brick_host->node_type(map) != BRICK_MAP) {
                brick_node_errorf(brick_host, ctx, map, "expected a map of the fields of %s",
                                  type->short_name);
                return -EINVAL;
        }
        settings->items = calloc(n + 1, sizeof settings->items[0]);
        if (!settings->items)
                return -ENOMEM;
        settings->n = n;
        for (size_t i = 0; i < n; i++) {
                int q = read_one(&settings->items[i], ctx, map, i, type, scope);

                if (q < 0)
                        r = q;
        }
        return r;
}

void settings_done(struct settings *settings)
{
        for (size_t i = 0; i < settings->n; i++) {
                struct setting *setting = &settings->items[i];

                for (size_t j = 0; j < setting->n_maps; j++)
                        settings_done(&setting->maps[j]);
                free(setting->maps);
                free(setting->key);
                expr_free(setting->expr);
        }
        free(settings->items);
}

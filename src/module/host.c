/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/node.h"
#include "conf/option.h"
#include "module/call-abi.h"
#include "module/child.h"
#include "module/filter.h"
#include "module/health.h"
#include "module/host.h"
#include "module/instance.h"
#include "module/relay.h"
#include "module/target.h"
#include "module/timer.h"
#include "util/log.h"
#include "util/utf8.h"

/* The longest line of node_error(), in bytes. */
#define REASON_MAX 4096

/* A configuration node as the brick sees it: the same object under its public name. */
static const struct brick_node *host_node(const struct node *node)
{
        return (const struct brick_node *)node;
}

static const struct node *node_of(const struct brick_node *node)
{
        return (const struct node *)node;
}

static int host_log_wanted(struct brick_ctx *ctx, uint32_t level)
{
        return level < BRICK_LOG_ERROR || instance_logs(ctx->instance, (enum log_level)level);
}

static void host_log(struct brick_ctx *ctx, uint32_t level, struct brick_str line)
{
        const char *name = ctx->instance->conf->name;
        const struct log_field fields[] = { { "BRICK", name, strlen(name) } };
        char message[LOG_MESSAGE_MAX];
        size_t n;

        if (level < BRICK_LOG_ERROR || level > BRICK_LOG_DEBUG)
                level = BRICK_LOG_ERROR;
        if (!host_log_wanted(ctx, level) || !instance_log_pass(ctx->instance, LINE_OWN))
                return;
        n = (size_t)snprintf(message, sizeof message, "%s: ", name);
        n += utf8_repair(message + n, sizeof message - n, line.ptr, line.len);
        log_line((enum log_level)level, fields, ELEMENTSOF(fields), message, n);
}

static struct brick_str host_name(struct brick_ctx *ctx)
{
        return brick_str(ctx->instance->conf->name);
}

static uint32_t host_type(struct brick_ctx *ctx)
{
        return ctx->instance->type;
}

/* The type of a scalar without an option table: the first of these types as which it parses. */
static uint32_t scalar_type(const struct node *node)
{
        int64_t i;
        double f;
        bool b;

        if (!node->plain)
                return BRICK_STRING;
        if (option_int(node, &i, NULL))
                return BRICK_INT;
        if (option_bool(node, &b, NULL))
                return BRICK_BOOL;
        if (option_float(node, &f, NULL))
                return BRICK_FLOAT;
        return BRICK_STRING;
}

static uint32_t host_node_type(const struct brick_node *n)
{
        const struct node *node = node_of(n);

        if (!node || node_is_null(node))
                return 0;
        switch (node->kind) {
        case NODE_LIST:
                return BRICK_LIST;
        case NODE_MAP:
                return BRICK_MAP;
        case NODE_SCALAR:
                return scalar_type(node);
        }
        return 0;
}

static const struct brick_node *host_node_get(const struct brick_node *map, const char *key)
{
        const struct node *node = node_get(node_of(map), key);

        return node && !node_is_null(node) ? host_node(node) : NULL;
}

static size_t host_node_size(const struct brick_node *n)
{
        const struct node *node = node_of(n);

        return node && node->kind != NODE_SCALAR ? node->n_children : 0;
}

static const struct brick_node *host_node_at(const struct brick_node *n, size_t index)
{
        return index < host_node_size(n) ? host_node(node_of(n)->children[index]) : NULL;
}

static struct brick_str host_node_key(const struct brick_node *map, size_t index)
{
        const struct node *node = node_of(host_node_at(map, index));

        return brick_str(node ? node->key : NULL);
}

/* The instance whose create() runs on this thread, the main thread. Only it may read nodes. */
static _Thread_local struct brick_ctx *creating;

int host_create(struct brick_ctx *ctx, const struct brick_module *brick,
                struct brick_instance **ret)
{
        int r;

        creating = ctx;
        r = brick->create(&host_table, ctx, host_node(ctx->options), ret);
        creating = NULL;

        for (size_t i = 0; i < ctx->n_strings; i++)
                option_secret_free(ctx->strings[i]);
        free(ctx->strings);
        ctx->strings = NULL;
        ctx->n_strings = 0;
        return r;
}

/* A string made for the brick; it lives until create() returns and is then erased. */
static struct brick_str lend(char *string)
{
        char **strings;

        strings = string ? reallocarray(creating->strings, creating->n_strings + 1, sizeof *strings)
                         : NULL;
        if (!strings) {
                option_secret_free(string);
                return brick_str("");
        }
        creating->strings = strings;
        strings[creating->n_strings++] = string;
        return brick_str(string);
}

/* An option that is a secret, or a value of this form in a map that the brick checks itself. */
static bool is_secret(const struct node *node)
{
        if (node->spec)
                return node->spec->type == OPTION_SECRET;
        return node->kind == NODE_MAP && option_secret_check(node, NULL);
}

static struct brick_str host_node_str(const struct brick_node *n)
{
        const struct node *node = node_of(n);
        char *string = NULL;

        if (!node || !creating)
                return brick_str("");
        if (is_secret(node)) {
                if (!option_secret(node, creating->base, &string, creating->diag))
                        return brick_str("");
                return lend(string);
        }
        if (node->kind != NODE_SCALAR)
                return brick_str("");
        return (struct brick_str){ node->text, node->length };
}

/* A number without a unit is its own value; with one, the unit tells a duration from a size. */
static int64_t host_node_int(const struct brick_node *n)
{
        const struct node *node = node_of(n);
        int64_t value = 0;
        bool truth;

        if (!node || option_int(node, &value, NULL))
                return value;
        if (option_bool(node, &truth, NULL))
                return truth;
        if (option_duration(node, &value, NULL) || option_size(node, &value, NULL))
                return value;
        return 0;
}

static double host_node_float(const struct brick_node *n)
{
        double value = 0;

        if (n)
                (void)option_float(node_of(n), &value, NULL);
        return value;
}

static void host_node_error(struct brick_ctx *ctx, const struct brick_node *node,
                            struct brick_str line)
{
        char text[REASON_MAX];
        size_t n = utf8_repair(text, sizeof text, line.ptr, line.len);

        if (ctx->diag)
                diag_add(ctx->diag, node ? node_of(node) : ctx->instance->conf->node, "%.*s",
                         (int)n, text);
}

static struct brick_target *host_target(struct brick_ctx *ctx, const struct brick_node *n)
{
        const struct node *node = node_of(n);

        if (!node || node->kind != NODE_SCALAR)
                return NULL;
        for (size_t i = 0; i < ctx->n_peers; i++)
                if (strcmp(ctx->peers[i]->conf->name, node->text) == 0)
                        return instance_add_caller(ctx->peers[i], ctx->instance) == 0
                                       ? &ctx->peers[i]->as_target
                                       : NULL;
        return NULL;
}

static int host_target_watch(struct brick_target *target, void (*changed)(void *user, int serving),
                             void *user)
{
        return creating ? target_watch(creating->instance, target, changed, user) : -EINVAL;
}

static bool is_in_file(const struct node *node)
{
        while (node && !node->fallback && node->parent)
                node = node->parent;
        return node && !node->fallback;
}

static void host_node_place(const struct brick_node *n, struct brick_str *ret_file,
                            uint32_t *ret_line, uint32_t *ret_column)
{
        const struct node *node = node_of(n);
        bool known = creating && is_in_file(node);

        *ret_file = brick_str(known ? diag_name(creating->diag) : NULL);
        *ret_line = known ? node->line : 0;
        *ret_column = known ? node->column : 0;
}

static void host_set_health(struct brick_ctx *ctx, int serving, struct brick_str reason)
{
        if (health_set(&ctx->instance->health, serving, reason))
                instance_log_health(ctx->instance);
}

const struct brick_host host_table = {
        .struct_size = sizeof host_table,
        .abi_major = BRICK_ABI_MAJOR,
        .abi_minor = BRICK_ABI_MINOR,
        .log = host_log,
        .name = host_name,
        .type = host_type,
        .node_type = host_node_type,
        .node_get = host_node_get,
        .node_size = host_node_size,
        .node_at = host_node_at,
        .node_key = host_node_key,
        .node_str = host_node_str,
        .node_int = host_node_int,
        .node_float = host_node_float,
        .node_error = host_node_error,
        .target = host_target,
        .target_type = target_abi_type,
        .call_request = call_abi_request,
        .call_metadata = call_abi_metadata,
        .call_metadata_at = call_abi_metadata_at,
        .call_peer = call_abi_peer,
        .call_deadline = call_abi_deadline,
        .call_cancelled = call_abi_cancelled,
        .call_alloc = call_abi_alloc,
        .call_set_data = call_abi_set_data,
        .call_data = call_abi_data,
        .call_recv = call_abi_recv,
        .call_read = call_abi_read,
        .call_send = call_abi_send,
        .call_reserve = call_abi_reserve,
        .call_commit = call_abi_commit,
        .call_trailer = call_abi_trailer,
        .call_finish = call_abi_finish,
        .call_fail = call_abi_fail,
        .child_start = child_abi_start,
        .child_recv = child_abi_recv,
        .child_send = child_abi_send,
        .child_close = child_abi_close,
        .child_cancel = child_abi_cancel,
        .child_free = child_abi_free,
        .set_health = host_set_health,
        .log_wanted = host_log_wanted,
        .call_identity = call_abi_identity,
        .call_group = call_abi_group,
        .call_traceparent = call_abi_traceparent,
        .call_tracestate = call_abi_tracestate,
        .call_mark = call_abi_mark,
        .call_rewind = call_abi_rewind,
        .call_fail_errno = call_abi_fail_errno,
        .child_start_with = child_abi_start_with,
        .call_relay = relay_abi_start,
        .timer_new = timer_abi_new,
        .timer_set = timer_abi_set,
        .timer_free = timer_abi_free,
        .target_name = target_abi_name,
        .target_methods = target_abi_methods,
        .target_serving = target_abi_serving,
        .target_watch = host_target_watch,
        .node_place = host_node_place,
        .target_filter_open = filter_abi_open,
        .target_filter_push = filter_abi_push,
        .target_filter_close = filter_abi_close,
};

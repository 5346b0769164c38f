/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/document.h"
#include "conf/node.h"

static void check_target(const struct conf *conf, const struct conf_brick *brick, struct node *node,
                         struct diag *diag)
{
        if (conf_find_brick(conf, node->text) < 0) {
                conf_blame_name(conf, node, diag);
                node->bad = true;
        } else if (strcmp(node->text, brick->name) == 0) {
                diag_add(diag, node, "a brick cannot call itself");
                node->bad = true;
        }
}

static int resolve_path(const struct conf *conf, struct node *node)
{
        _cleanup_free_ char *path = NULL;

        if (node->text[0] == '/' || node->length == 0)
                return 0;
        if (asprintf(&path, "%s/%s", conf->base, node->text) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        node->length = strlen(path);
        node->text = document_strndup(conf->document, path, node->length);
        return node->text ? 0 : -ENOMEM;
}

/* What only the whole configuration knows about a value. */
static int finish_value(const struct conf *conf, const struct conf_brick *brick, struct node *node,
                        struct diag *diag)
{
        int r;

        if (node->bad)
                return 0;
        if (node->kind == NODE_LIST && (node->spec->flags & OPTION_REPEATED)) {
                for (size_t i = 0; i < node->n_children; i++) {
                        r = finish_value(conf, brick, (struct node *)node->children[i], diag);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if (node_is_null(node))
                return 0;
        if (node->spec->type == OPTION_BRICK)
                check_target(conf, brick, node, diag);
        if (node->spec->type == OPTION_PATH)
                return resolve_path(conf, node);
        return 0;
}

/* The options take the place of those that the file gives. */
static void put_options(const struct conf_brick *brick, const struct node *checked)
{
        struct node *map = (struct node *)brick->node;
        size_t i = 0;

        while (i < map->n_children && strcmp(map->children[i]->key, "options") != 0)
                i++;
        /* There is room: option_check() leaves some for every key of the table. */
        map->n_children += i == map->n_children;
        map->children[i] = checked;
}

const struct node *conf_brick_options(struct conf *conf, const struct conf_brick *brick,
                                      const struct option_spec *table, struct diag *diag)
{
        const struct node none = { .kind = NODE_MAP,
                                   .line = brick->node->line,
                                   .column = brick->node->column,
                                   .parent = brick->node,
                                   .key = "options" };
        size_t before = diag_count(diag);
        const struct node *checked;

        checked = option_check(conf->document, table, brick->options ? brick->options : &none,
                               diag);
        for (size_t i = 0; checked && i < checked->n_children; i++)
                if (finish_value(conf, brick, (struct node *)checked->children[i], diag) < 0)
                        checked = NULL;
        if (!checked)
                diag_add(diag, brick->node, "out of memory");
        if (diag_count(diag) > before)
                return NULL;
        conf->bricks[brick - conf->bricks].checked = checked;
        put_options(brick, checked);
        return checked;
}

/* The first name in the brick's options of a brick that is not done. */
static const struct node *find_target(const struct conf *conf, size_t brick, const bool *done)
{
        const struct node *options = conf->bricks[brick].checked;

        for (size_t i = 0; options && i < options->n_children; i++) {
                const struct node *node = options->children[i];
                const struct node *const *names = &node;
                size_t n = 1;

                if (!node->spec || node->spec->type != OPTION_BRICK)
                        continue;
                if (node->kind == NODE_LIST) {
                        names = node->children;
                        n = node->n_children;
                }
                for (size_t j = 0; j < n; j++) {
                        ssize_t target;

                        target = node_is_null(names[j]) ? -1
                                                        : conf_find_brick(conf, names[j]->text);
                        if (target >= 0 && !done[target])
                                return names[j];
                }
        }
        return NULL;
}

/* Every brick that is not done calls one that is not done: whoever follows the calls walks into a
 * circle. Gives one brick of it. */
static size_t blame_circle(const struct conf *conf, size_t start, const bool *done,
                           struct diag *diag)
{
        char circle[256] = "";
        size_t first = start, used = 0, brick;
        const struct node *node;

        for (size_t i = 0; i < conf->n_bricks; i++)
                first = (size_t)conf_find_brick(conf, find_target(conf, first, done)->text);

        brick = first;
        do {
                int r;

                node = find_target(conf, brick, done);
                if (used < sizeof circle) {
                        r = snprintf(circle + used, sizeof circle - used, "%s -> ",
                                     conf->bricks[brick].name);
                        used += r > 0 ? (size_t)r : 0;
                }
                brick = (size_t)conf_find_brick(conf, node->text);
        } while (brick != first);
        diag_add(diag, find_target(conf, first, done), "bricks call each other in a circle: %s%s",
                 circle, conf->bricks[first].name);
        return first;
}

int conf_brick_order(const struct conf *conf, size_t *ret_order, struct diag *diag)
{
        _cleanup_free_ bool *done = NULL;
        size_t n = 0, before;
        int r = 0;

        done = calloc(conf->n_bricks + 1, sizeof *done);
        if (!done)
                return -ENOMEM;
        while (n < conf->n_bricks) {
                size_t left = conf->n_bricks;

                before = n;
                for (size_t i = 0; i < conf->n_bricks; i++) {
                        if (done[i])
                                continue;
                        if (find_target(conf, i, done)) {
                                left = i;
                                continue;
                        }
                        done[i] = true;
                        ret_order[n++] = i;
                }
                if (n == before) {
                        left = blame_circle(conf, left, done, diag);
                        done[left] = true;
                        ret_order[n++] = left;
                        r = -EINVAL;
                }
        }
        return r;
}

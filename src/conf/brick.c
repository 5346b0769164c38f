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
        const char *path;

        if (node->length == 0)
                return 0;
        path = document_path(conf->document, conf->base, node->text);
        if (!path)
                return -ENOMEM;
        node->text = path;
        node->length = strlen(path);
        return 0;
}

/* Checks that need the whole configuration: names of bricks and relative paths, at any depth. */
static int finish_value(const struct conf *conf, const struct conf_brick *brick, struct node *node,
                        struct diag *diag)
{
        int r;

        if (node->bad || !node->spec)
                return 0;
        for (size_t i = 0; i < node->n_children; i++) {
                r = finish_value(conf, brick, (struct node *)node->children[i], diag);
                if (r < 0)
                        return r;
        }
        if (node->kind != NODE_SCALAR || node_is_null(node))
                return 0;
        if (node->spec->type == OPTION_BRICK)
                check_target(conf, brick, node, diag);
        if (node->spec->type == OPTION_PATH)
                return resolve_path(conf, node);
        return 0;
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
        struct node *checked;

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
        option_put(brick->node, checked);
        return checked;
}

static bool each_name(const struct node *node, bool (*each)(const struct node *name, void *user),
                      void *user)
{
        if (!node->spec)
                return true;
        for (size_t i = 0; i < node->n_children; i++)
                if (!each_name(node->children[i], each, user))
                        return false;
        return node->kind != NODE_SCALAR || node->spec->type != OPTION_BRICK ||
               node_is_null(node) || each(node, user);
}

bool conf_brick_targets(const struct conf_brick *brick,
                        bool (*each)(const struct node *name, void *user), void *user)
{
        for (size_t i = 0; brick->checked && i < brick->checked->n_children; i++)
                if (!each_name(brick->checked->children[i], each, user))
                        return false;
        return true;
}

/* A depth-first walk from each brick to the bricks that it calls. */
struct walk {
        const struct conf *conf;
        struct diag *diag;
        size_t *order; /* bricks whose visit has ended, in this order */
        size_t n_order;
        size_t *path; /* bricks that have been entered and not left; each is called by the one
                         before it */
        size_t n_path;
        bool *seen;
        bool cycle;
};

/* The option `name` makes the last brick of the path call the brick at index start. */
static void report_cycle(struct walk *walk, const struct node *name, size_t start)
{
        char cycle[256] = "";
        size_t used = 0;
        int r;

        for (size_t i = start; i < walk->n_path && used < sizeof cycle; i++) {
                r = snprintf(cycle + used, sizeof cycle - used, "%s -> ",
                             walk->conf->bricks[walk->path[i]].name);
                used += r > 0 ? (size_t)r : 0;
        }
        diag_add(walk->diag, name, "bricks call each other in a cycle: %s%s", cycle, name->text);
        walk->cycle = true;
}

static void follow_brick(struct walk *walk, size_t brick);

static bool follow_name(const struct node *name, void *user)
{
        struct walk *walk = user;
        ssize_t target = conf_find_brick(walk->conf, name->text);

        if (target < 0)
                return true;
        for (size_t i = 0; i < walk->n_path; i++)
                if (walk->path[i] == (size_t)target) {
                        report_cycle(walk, name, i);
                        return true;
                }
        follow_brick(walk, (size_t)target);
        return true;
}

/* The depth of the recursion is at most the number of bricks. */
static void follow_brick(struct walk *walk, size_t brick)
{
        if (walk->seen[brick])
                return;
        walk->seen[brick] = true;
        walk->path[walk->n_path++] = brick;
        (void)conf_brick_targets(&walk->conf->bricks[brick], follow_name, walk);
        walk->n_path--;
        walk->order[walk->n_order++] = brick;
}

int conf_brick_order(const struct conf *conf, size_t *ret_order, struct diag *diag)
{
        _cleanup_free_ size_t *path = NULL;
        _cleanup_free_ bool *seen = NULL;
        struct walk walk = { .conf = conf, .diag = diag, .order = ret_order };

        path = calloc(conf->n_bricks + 1, sizeof *path);
        seen = calloc(conf->n_bricks + 1, sizeof *seen);
        if (!path || !seen)
                return -ENOMEM;
        walk.path = path;
        walk.seen = seen;
        for (size_t i = 0; i < conf->n_bricks; i++)
                follow_brick(&walk, i);
        return walk.cycle ? -EINVAL : 0;
}

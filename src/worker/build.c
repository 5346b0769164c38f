/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "module/instance.h"
#include "module/load.h"
#include "worker/build.h"

/* Opens the modules, and checks the options of each brick against its module. */
static int load_modules(struct build *build, struct diag *diag)
{
        static const struct option_spec no_options[] = { { .name = NULL } };
        struct conf *conf = build->conf;

        for (size_t i = 0; i < conf->n_bricks; i++) {
                const struct conf_brick *brick = &conf->bricks[i];
                _cleanup_free_ char *why = NULL;
                const struct option_spec *table;
                int r;

                if (!brick->name || !brick->module)
                        continue; /* a salvaged configuration: the mistake is known */
                r = module_open(&build->modules[i], conf->module_dir, brick->module, &why);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        diag_add(diag, node_get(brick->node, "module"), "%s", why);
                        continue;
                }
                table = build->modules[i]->options;
                (void)conf_brick_options(conf, brick, table ? table : no_options, diag);
        }
        return 0;
}

static bool is_made(const struct node *name, void *user)
{
        const struct build *build = user;
        ssize_t target = conf_find_brick(build->conf, name->text);

        return target >= 0 && build->instances[target];
}

static int create_bricks(struct build *build, void (*creating)(ssize_t brick), struct diag *diag)
{
        const struct conf *conf = build->conf;
        _cleanup_free_ size_t *order = calloc(conf->n_bricks + 1, sizeof *order);
        int r;

        if (!order)
                return -ENOMEM;
        r = conf_brick_order(conf, order, diag);
        if (r < 0)
                return r;

        for (size_t i = 0; i < conf->n_bricks; i++) {
                const struct conf_brick *brick = &conf->bricks[order[i]];
                struct instance *instance;

                if (!conf_brick_targets(brick, is_made, build))
                        continue; /* diag has the mistake of a brick that it calls */
                creating((ssize_t)order[i]);
                r = instance_new(&instance, brick, build->modules[order[i]], brick->checked,
                                 conf->base, build->made, build->n_made,
                                 &build->stats->bricks[order[i]], diag);
                if (r == -EINVAL)
                        continue;
                if (r < 0)
                        return r;
                build->instances[order[i]] = instance;
                build->made[build->n_made++] = instance;
        }
        creating(-1);
        return 0;
}

static int build_prepare(struct build **ret, struct conf *conf)
{
        _cleanup_(build_freep) struct build *build = calloc(1, sizeof *build);

        if (!build)
                return -ENOMEM;
        build->conf = conf;
        build->modules = calloc(conf->n_bricks + 1, sizeof *build->modules);
        build->instances = calloc(conf->n_bricks + 1, sizeof *build->instances);
        build->made = calloc(conf->n_bricks + 1, sizeof *build->made);
        if (!build->modules || !build->instances || !build->made)
                return -ENOMEM;
        *ret = TAKE_PTR(build);
        return 0;
}

int build_new(struct build **ret, struct conf *conf, const struct stats *stats,
              void (*creating)(ssize_t brick), struct diag *diag)
{
        _cleanup_(build_freep) struct build *build = NULL;
        int r;

        r = build_prepare(&build, conf);
        if (r < 0)
                return r;
        build->stats = stats;
        r = load_modules(build, diag);
        if (r == 0 && diag_count(diag) == 0)
                r = create_bricks(build, creating, diag);
        if (r == 0 && diag_count(diag) > 0)
                r = -EINVAL;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(build);
        return 0;
}

void build_look_for_mistakes(struct conf *conf, struct diag *diag)
{
        _cleanup_(build_freep) struct build *build = NULL;

        if (conf->module_dir && build_prepare(&build, conf) == 0)
                (void)load_modules(build, diag);
}

bool build_drain_bricks(struct build *build, bool now)
{
        bool drained = true;

        for (size_t i = build->n_made; i > 0; i--)
                drained = instance_drain(build->made[i - 1], now) && drained;
        return drained;
}

ssize_t build_index(const struct build *build, const struct conf_brick *brick)
{
        return brick - build->conf->bricks;
}

static void destroy_brick(struct build *build, void (*destroying)(ssize_t brick))
{
        struct instance *instance = build->made[--build->n_made];

        if (destroying)
                destroying(build_index(build, instance->conf));
        (void)instance_free(instance);
        if (destroying)
                destroying(-1);
}

void build_destroy_bricks(struct build *build, void (*destroying)(ssize_t brick))
{
        while (build->n_made > 0)
                destroy_brick(build, destroying);
}

struct build *build_free(struct build *build)
{
        if (!build)
                return NULL;
        if (build->made)
                build_destroy_bricks(build, NULL);
        for (size_t i = 0; build->modules && i < build->conf->n_bricks; i++)
                (void)module_free(build->modules[i]);
        free(build->made);
        free(build->instances);
        free(build->modules);
        free(build);
        return NULL;
}

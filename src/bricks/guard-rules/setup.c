/* SPDX-License-Identifier: MIT */
#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"
#include "brick-yaml.h"
#include "config.h"

/* The path of the shipped rules, for free(). NULL: out of memory. */
static char *default_rules(void)
{
        const char *data = getenv("BRICKD_DATA");
        char *path;

        if (asprintf(&path, "%s/guard-rules/default.yaml", data ? data : BRICKD_DATA_DIR) < 0)
                return NULL;
        return path;
}

/* Logs every mistake in a rule file, and reports a mistake of the option that names the file. */
static void refuse(struct setup *self, const struct brick_node *blamed,
                   const struct brick_yaml *yaml)
{
        size_t count = brick_yaml_mistakes(yaml);
        const char *first = brick_yaml_mistake(yaml, 0), *line;

        for (size_t i = 0; (line = brick_yaml_mistake(yaml, i)); i++)
                brick_logf(brick_host, self->ctx, BRICK_LOG_ERROR, "%s", line);
        if (count == 1)
                brick_node_errorf(brick_host, self->ctx, blamed, "%s", first);
        else
                brick_node_errorf(brick_host, self->ctx, blamed,
                                  "%zu mistakes in the rule file, named in the log; the first: %s",
                                  count, first);
}

static int load(struct setup *self, const struct brick_node *blamed, const char *path)
{
        struct brick_yaml *yaml;
        int r;

        r = brick_yaml_new(&yaml, path);
        if (r < 0)
                return r;
        r = rules_read(self->rules, path, yaml);
        if (r == -EINVAL)
                refuse(self, blamed, yaml);
        brick_yaml_free(yaml);
        return r;
}

static int load_default(struct setup *self, const struct brick_node *config)
{
        char *path = default_rules();
        int r = path ? load(self, config, path) : -ENOMEM;

        free(path);
        return r;
}

static int load_rules(struct setup *self, const struct brick_node *config)
{
        const struct brick_node *rules = brick_host->node_get(config, "rules");
        const struct brick_node *extra = brick_host->node_get(config, "extra_rules");
        int r;

        r = rules_new(&self->rules);
        if (r < 0)
                return r;
        r = rules ? load(self, rules, brick_host->node_str(rules).ptr) : load_default(self, config);
        if (r < 0 || !extra)
                return r;
        return load(self, extra, brick_host->node_str(extra).ptr);
}

/* Turns off the categories that are not in the list. */
static int select_categories(struct setup *self, const struct brick_node *list)
{
        struct rules *rules = self->rules;
        int r = 0;

        if (!list)
                return 0;
        if (brick_host->node_size(list) == 0) {
                brick_node_errorf(brick_host, self->ctx, list, "name a category, or leave it out");
                return -EINVAL;
        }
        for (size_t i = 0; i < rules->n_categories; i++)
                rules->categories[i].off = true;
        for (size_t i = 0; i < brick_host->node_size(list); i++) {
                const struct brick_node *node = brick_host->node_at(list, i);
                const char *name = brick_host->node_str(node).ptr;
                struct category *category = name ? rules_category(rules, name) : NULL;

                if (category) {
                        category->off = false;
                        continue;
                }
                brick_node_errorf(brick_host, self->ctx, node, "the rules have no category '%s'",
                                  name ? name : "");
                r = -EINVAL;
        }
        return r;
}

static void set_threshold(struct setup *self, const struct brick_node *node)
{
        if (!node)
                return;
        for (size_t i = 0; i < self->rules->n_categories; i++)
                self->rules->categories[i].threshold = brick_host->node_float(node);
}

/* Reads "{ secrets: mask, pii-email: flag }". */
static int set_actions(struct setup *self, const struct brick_node *map)
{
        int r = 0;

        for (size_t i = 0; map && i < brick_host->node_size(map); i++) {
                const struct brick_node *node = brick_host->node_at(map, i);
                const char *action = brick_host->node_str(node).ptr;
                struct brick_str key = brick_host->node_key(map, i);
                struct category *category = rules_category(self->rules, key.ptr);

                if (!category) {
                        brick_node_errorf(brick_host, self->ctx, node,
                                          "the rules have no category '%s'", key.ptr);
                        r = -EINVAL;
                        continue;
                }
                category->masked = action && strcmp(action, "mask") == 0;
                category->spared = category->masked || (action && strcmp(action, "flag") == 0);
                if (category->spared || (action && strcmp(action, "block") == 0))
                        continue;
                brick_node_errorf(brick_host, self->ctx, node, "expected block, flag or mask");
                r = -EINVAL;
        }
        return r;
}

static void set_mode(struct setup *self, const struct brick_node *mode)
{
        if (strcmp(brick_host->node_str(mode).ptr, "observe") != 0)
                return;
        for (size_t i = 0; i < self->rules->n_categories; i++)
                self->rules->categories[i].spared = true;
}

/* The model that the option names, or else the rules. */
static int load_model(struct setup *self, const struct brick_node *config)
{
        const struct brick_node *node = brick_host->node_get(config, "model");
        const char *path = node ? brick_host->node_str(node).ptr : self->rules->model, *error;
        const char *unknown;

        if (strcmp(brick_host->node_str(brick_host->node_get(config, "judges")).ptr, "rules") == 0)
                path = NULL;
        if (path) {
                self->model = linear_read(path, &error);
                if (!self->model) {
                        brick_node_errorf(brick_host, self->ctx, node ? node : config,
                                          "the model %s: %s", path, error);
                        return -EINVAL;
                }
        }
        unknown = judge_init(&self->judge, self->rules, self->model);
        if (!unknown)
                return 0;
        brick_node_errorf(brick_host, self->ctx, node ? node : config,
                          "the model %s has the label '%s', but the rules have no such category",
                          path, unknown);
        return -EINVAL;
}

void setup_done(struct setup *self)
{
        linear_free(self->model);
        rules_free(self->rules);
}

int setup(struct setup *self, const struct brick_node *config)
{
        int r = load_rules(self, config);

        if (r == 0)
                r = load_model(self, config);
        if (r == 0)
                r = select_categories(self, brick_host->node_get(config, "categories"));
        if (r == 0)
                r = set_actions(self, brick_host->node_get(config, "actions"));
        if (r < 0)
                return r;
        set_threshold(self, brick_host->node_get(config, "threshold"));
        set_mode(self, brick_host->node_get(config, "mode"));
        return 0;
}

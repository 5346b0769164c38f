/* SPDX-License-Identifier: MIT */

/* A brick with a YAML file of its own. It has a node_get() as libbrick-yaml has one inside. */

#include <brick-sdk.h>
#include <brick-yaml.h>
#include <string.h>

struct brick_instance {
        const char *word; /* the file's */
};

static struct brick_yaml *yaml;
static struct brick_instance instance;

int node_get(const struct brick_yaml_node *root, const char **ret);
int node_get(const struct brick_yaml_node *root, const char **ret)
{
        *ret = brick_yaml_text(brick_yaml_get(root, "word"));
        if (!*ret)
                brick_yaml_blame(yaml, root, "expected a map with a word");
        return brick_yaml_mistakes(yaml) > 0 ? -EINVAL : 0;
}

static int create(const struct brick_host *host, struct brick_ctx *ctx,
                  const struct brick_node *config, struct brick_instance **ret)
{
        static const char file[] = "word: $HOME\n";
        int r;

        brick_sdk_init(host);
        r = brick_yaml_new(&yaml, "words.yaml");
        if (r < 0)
                return r;
        r = node_get(brick_yaml_parse(yaml, file, strlen(file)), &instance.word);
        if (r < 0)
                brick_node_errorf(host, ctx, config, "%s", brick_yaml_mistake(yaml, 0));
        *ret = &instance;
        return r;
}

static void destroy(struct brick_instance *self)
{
        brick_yaml_free(yaml);
}

static int unary(struct brick_instance *self, struct brick_call *call,
                 const RectifyRequest *request, RectifyResponse *response)
{
        response->corrected_text = (char *)self->word;
        return 0;
}

static const struct brick_rectify handlers = { .unary = unary };

BRICK_RECTIFY(handlers, .name = "words", .version = "1.0", .summary = "answers with its word",
              .create = create, .destroy = destroy);

/* SPDX-License-Identifier: MIT */

/* intention-examples: what a text wants, by the examples that it is most like. See README.md. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"
#include "classify.h"
#include "config.h"
#include "file.h"

#define VERSION "1.0"
#define FILE_SIZE_MAX (16 << 20)
#define RESULTS_MAX 20
#define WORDS_MAX 5 /* that an explanation names */

struct brick_instance {
        struct brick_ctx *ctx;
        struct examples *examples;
        struct classifier *classifier;
        char *unknown;
        double threshold;
        size_t max_results;
};

/* ---- examples ------------------------------------------------------------------------------- */

/* Blames a node for what was refused. */
static int blame(struct brick_instance *self, const struct brick_node *node, int r,
                 const struct examples_reason *reason)
{
        if (r == -EINVAL)
                brick_node_errorf(brick_host, self->ctx, node, "%s", reason->text);
        return r;
}

/* 0, -EINVAL after all mistakes have been reported, or -ENOMEM. */
static int take_list(struct brick_instance *self, const struct brick_node *list)
{
        int result = 0;

        for (size_t i = 0; i < brick_host->node_size(list); i++) {
                const struct brick_node *item = brick_host->node_at(list, i);
                const char *text = brick_host->node_str(item).ptr;
                struct examples_reason reason;
                int r = examples_add(self->examples, text ? text : "", &reason);

                if (blame(self, item, r, &reason) == -ENOMEM)
                        return -ENOMEM;
                result = r < 0 ? r : result;
        }
        return result;
}

static int take_category(struct brick_instance *self, const struct brick_node *map, size_t index)
{
        const struct brick_node *list = brick_host->node_at(map, index);
        const char *name = brick_host->node_key(map, index).ptr;
        struct examples_reason reason;
        int r = blame(self, list, examples_add_category(self->examples, name, &reason), &reason);

        if (r < 0)
                return r;
        if (brick_host->node_type(list) != BRICK_LIST || brick_host->node_size(list) == 0) {
                brick_node_errorf(brick_host, self->ctx, list, "expected a list of examples");
                return -EINVAL;
        }
        return take_list(self, list);
}

static int take_inline(struct brick_instance *self, const struct brick_node *map)
{
        int result = 0;

        if (brick_host->node_size(map) == 0) {
                brick_node_errorf(brick_host, self->ctx, map,
                                  "expected categories, each with a list of examples");
                return -EINVAL;
        }
        for (size_t i = 0; result != -ENOMEM && i < brick_host->node_size(map); i++) {
                int r = take_category(self, map, i);

                result = r < 0 ? r : result;
        }
        return result;
}

/* Logs every mistake in a file, and reports a mistake of the option that names the file. */
static void refuse(struct brick_instance *self, const struct brick_node *node,
                   const struct brick_yaml *yaml)
{
        size_t count = brick_yaml_mistakes(yaml);
        const char *first = brick_yaml_mistake(yaml, 0), *line;

        for (size_t i = 0; count > 1 && (line = brick_yaml_mistake(yaml, i)); i++)
                brick_logf(brick_host, self->ctx, BRICK_LOG_ERROR, "%s", line);
        if (count == 1)
                brick_node_errorf(brick_host, self->ctx, node, "%s", first);
        else
                brick_node_errorf(brick_host, self->ctx, node,
                                  "%zu mistakes in the file, named in the log; the first: %s",
                                  count, first);
}

static int take_file(struct brick_instance *self, const struct brick_node *node, const char *path)
{
        struct brick_yaml *yaml = NULL;
        size_t n;
        char *bytes = file_read(path, FILE_SIZE_MAX, &n);
        int r = bytes ? 0 : -errno;

        if (r < 0) {
                brick_node_errorf(brick_host, self->ctx, node, "cannot read %s: %s", path,
                                  r == -EFBIG || r == -EINVAL ? "not a file of at most 16 MiB"
                                                              : strerror(-r));
                return r;
        }
        r = brick_yaml_new(&yaml, path);
        if (r == 0)
                r = examples_read(self->examples, yaml, bytes, n);
        if (r == -EINVAL)
                refuse(self, node, yaml);
        brick_yaml_free(yaml);
        free(bytes);
        return r;
}

/* The examples that come with the brick. */
static int take_default(struct brick_instance *self, const struct brick_node *config)
{
        const char *data = getenv("BRICKD_DATA");
        char *path;
        int r;

        if (asprintf(&path, "%s/intention-examples/examples.yaml", data ? data : BRICKD_DATA_DIR) <
            0)
                return -ENOMEM;
        r = take_file(self, config, path);
        free(path);
        return r;
}

static int take_examples(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_node *map = brick_host->node_get(config, "examples");
        const struct brick_node *file = brick_host->node_get(config, "file");
        const struct brick_node *unknown = brick_host->node_get(config, "unknown");
        int r = 0;

        if (!*self->unknown) {
                brick_node_errorf(brick_host, self->ctx, unknown, "a category needs a name");
                return -EINVAL;
        }
        if (!map && !file)
                r = take_default(self, config);
        if (r == 0 && map)
                r = take_inline(self, map);
        if (r == 0 && file)
                r = take_file(self, file, brick_host->node_str(file).ptr);
        for (size_t i = 0; r == 0 && i < self->examples->n_categories; i++)
                if (strcmp(self->examples->categories[i], self->unknown) == 0) {
                        brick_node_errorf(brick_host, self->ctx, unknown,
                                          "there is a category '%s': choose another name for what "
                                          "is unknown",
                                          self->unknown);
                        r = -EINVAL;
                }
        return r;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* "parcel, arrive": what weighed most. NULL: out of memory. */
static char *words_of(const struct brick_instance *self, struct brick_call *call, const char *text,
                      const struct features *features, size_t example)
{
        struct brick_text words = BRICK_TEXT(call);
        struct weighed weighed[WORDS_MAX];
        size_t n = classifier_explain(self->classifier, features, example, weighed, WORDS_MAX);

        for (size_t i = 0; i < n; i++) {
                brick_text_adds(&words, i > 0 ? ", " : "");
                brick_text_add(&words, text + weighed[i].start, weighed[i].length);
        }
        return brick_text_end(&words);
}

static void explain(const struct brick_instance *self, struct brick_call *call, const char *text,
                    const struct features *features, const struct verdict *verdicts, size_t n)
{
        const struct examples *examples = self->examples;

        if (n == 0)
                brick_explain(call, &(struct brick_step){ .name = self->unknown,
                                                          .verdict = "nothing in common with an "
                                                                     "example" });
        for (size_t i = 0; i < n; i++) {
                const struct verdict *verdict = &verdicts[i];
                struct brick_step step = {
                        .name = examples->categories[verdict->category],
                        .verdict = brick_printf(call, "confidence %.2f, likeness %.2f",
                                                verdict->confidence, verdict->similarity),
                        .input = words_of(self, call, text, features, verdict->example),
                        .output = examples->list[verdict->example]->text,
                };

                brick_explain(call, &step);
        }
}

static int add_result(struct brick_call *call, IntentionResponse *response, char *category,
                      double confidence)
{
        IntentionResult *result = brick_add(call, response, results);

        if (!result)
                return -ENOMEM;
        result->intent_category = category;
        result->confidence = (float)confidence;
        return 0;
}

static int intention_unary(struct brick_instance *self, struct brick_call *call,
                           const IntentionRequest *request, IntentionResponse *response)
{
        void *memory = brick_alloc(call, classifier_size(self->classifier));
        struct features *features = brick_alloc(call, sizeof *features);
        struct verdict verdicts[RESULTS_MAX];
        double best;
        size_t n;
        int r = 0;

        if (!memory || !features)
                return -ENOMEM;
        features_of(request->text, strlen(request->text), features);
        n = classify(self->classifier, features, memory, verdicts, self->max_results);
        best = n > 0 ? verdicts[0].confidence : 0;
        if (best < self->threshold || n == 0)
                r = add_result(call, response, self->unknown, 1 - best);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_result(call, response, self->examples->categories[verdicts[i].category],
                               verdicts[i].confidence);
        if (r == 0 && brick_is_explained(call))
                explain(self, call, request->text, features, verdicts, n);
        return r;
}

static int intention_info(struct brick_instance *self, struct brick_call *call,
                          ServiceInfoResponse *response)
{
        struct brick_text text = BRICK_TEXT(call);

        brick_text_printf(&text, "%zu examples of:", self->examples->n);
        for (size_t i = 0; i < self->examples->n_categories; i++)
                brick_text_printf(&text, "%s %s", i > 0 ? "," : "", self->examples->categories[i]);
        response->models[0]->description = brick_text_end(&text);
        return response->models[0]->description ? 0 : -ENOMEM;
}

/* ---- the instance --------------------------------------------------------------------------- */

static void intention_destroy(struct brick_instance *self)
{
        classifier_free(self->classifier);
        examples_free(self->examples);
        free(self->unknown);
        free(self);
}

static int prepare(struct brick_instance *self, const struct brick_node *config)
{
        const struct brick_host *host = brick_host;
        int r = brick_option_string(config, "unknown", &self->unknown);

        self->threshold = host->node_float(host->node_get(config, "threshold"));
        self->max_results = (size_t)host->node_int(host->node_get(config, "max_results"));
        self->examples = examples_new();
        if (r < 0 || !self->examples)
                return -ENOMEM;
        r = take_examples(self, config);
        return r == 0 ? classifier_new(self->examples, &self->classifier) : r;
}

static int intention_create(const struct brick_host *host, struct brick_ctx *ctx,
                            const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        r = prepare(self, config);
        if (r < 0)
                intention_destroy(self);
        else
                *ret = self;
        return r;
}

static const struct brick_intention handlers = {
        .service_info = intention_info,
        .unary = intention_unary,
};

static const struct brick_option options[] = {
        { .name = "examples",
          .type = BRICK_MAP,
          .summary = "categories, each with a list of examples" },
        { .name = "file",
          .type = BRICK_PATH,
          .summary =
                  "YAML file of such a map; without both, the examples that come with the brick" },
        { .name = "threshold",
          .type = BRICK_FLOAT,
          .fallback = "0.5",
          .min = 0,
          .max = 1,
          .summary = "confidence below which a text is unknown" },
        { .name = "unknown",
          .type = BRICK_STRING,
          .fallback = "unknown",
          .summary = "the category of texts that are like no example" },
        { .name = "max_results",
          .type = BRICK_INT,
          .fallback = "3",
          .min = 1,
          .max = RESULTS_MAX,
          .summary = "categories in a reply, besides unknown" },
        {},
};

BRICK_INTENTION(handlers, .name = "intention-examples", .version = VERSION,
                .summary = "sorts texts into categories by examples of them", .options = options,
                .create = intention_create, .destroy = intention_destroy);

/* SPDX-License-Identifier: MIT */

/* guard-rules: reports the categories of rules that a text matches. See README.md. */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"
#include "brick-yaml.h"
#include "config.h"
#include "match.h"
#include "request.h"
#include "stream.h"

#define VERSION "1.0"
#define LOG_INTERVAL 10 /* seconds between log lines about limits */
#define LIMIT_CONFIDENCE 0.5f

struct brick_instance {
        struct brick_ctx *ctx;
        struct rules *rules;
        struct stream_plan *streams;
        struct stream_limits limits;
        atomic_llong logged; /* CLOCK_MONOTONIC_COARSE, seconds */
};

static void guard_free(struct brick_instance *self)
{
        if (!self)
                return;
        stream_plan_free(self->streams);
        rules_free(self->rules);
        free(self);
}

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
static void refuse(struct brick_instance *self, const struct brick_node *blamed,
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

static int load(struct brick_instance *self, const struct brick_node *blamed, const char *path)
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

static int load_default(struct brick_instance *self, const struct brick_node *config)
{
        char *path = default_rules();
        int r = path ? load(self, config, path) : -ENOMEM;

        free(path);
        return r;
}

static int load_all(struct brick_instance *self, const struct brick_node *config)
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
static int select_categories(struct brick_instance *self, const struct brick_node *list)
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

static void set_threshold(struct brick_instance *self, const struct brick_node *node)
{
        if (!node)
                return;
        for (size_t i = 0; i < self->rules->n_categories; i++)
                self->rules->categories[i].threshold = brick_host->node_float(node);
}

static int guard_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self;
        int r;

        self = calloc(1, sizeof *self);
        if (!self)
                return -ENOMEM;
        self->ctx = ctx;
        self->limits.max_text = (size_t)host->node_int(host->node_get(config, "max_text"));
        self->limits.flag = strcmp(host->node_str(host->node_get(config, "on_limit")).ptr,
                                   "flag") == 0;
        atomic_init(&self->logged, -LOG_INTERVAL);
        r = load_all(self, config);
        if (r == 0)
                r = select_categories(self, host->node_get(config, "categories"));
        if (r == 0)
                r = stream_plan_new(&self->streams, self->rules, &self->limits);
        if (r < 0) {
                guard_free(self);
                return r;
        }
        set_threshold(self, host->node_get(config, "threshold"));
        if (self->rules->slow)
                brick_logf(host, ctx, BRICK_LOG_NOTICE,
                           "PCRE2 cannot compile to machine code here (MemoryDenyWriteExecute=?): "
                           "rules take several times as long");
        *ret = self;
        return 0;
}

static int guard_info(struct brick_instance *self, struct brick_call *call,
                      ServiceInfoResponse *response)
{
        response->n_models = 0;
        for (size_t i = 0; i < self->rules->n_categories; i++) {
                const struct category *category = &self->rules->categories[i];
                ModelInfo *model;

                if (category->off)
                        continue;
                model = brick_add(call, response, models);
                if (!model)
                        return -ENOMEM;
                model->model_id = category->name;
                model->version = (char *)VERSION;
                model->supported_languages = category->languages;
                model->n_supported_languages = category->n_languages;
                model->description = brick_printf(
                        call, "%zu rule%s; an attack from a score of %g", category->n_rules,
                        category->n_rules == 1 ? "" : "s", category->threshold);
                if (!model->description)
                        return -ENOMEM;
        }
        return 0;
}

/* The length of text to judge: at most max bytes, without cutting a character. */
static size_t cut(const char *text, size_t length, size_t max)
{
        if (length <= max)
                return length;
        while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
                max--;
        return max;
}

/* Limits the rate of log lines, because a client can send many such texts. */
static void log_limit(struct brick_instance *self, const char *detail)
{
        long long last = atomic_load(&self->logged);
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        if (now.tv_sec - last >= LOG_INTERVAL &&
            atomic_compare_exchange_strong(&self->logged, &last, now.tv_sec))
                brick_logf(brick_host, self->ctx, BRICK_LOG_WARNING,
                           "a text was not wholly judged and %s: %s",
                           self->limits.flag ? "counts as an attack" : "passes", detail);
}

static int add_result(struct brick_call *call, GuardResponse *response, bool is_attack,
                      double confidence, char *detail)
{
        GuardResult *result = brick_add(call, response, results);

        if (!result || !detail)
                return -ENOMEM;
        result->is_attack = is_attack;
        result->confidence = (float)confidence;
        result->detail = detail;
        return 0;
}

static int add_category(struct brick_call *call, GuardResponse *response, const struct match *match,
                        size_t index)
{
        const struct category *category = &match->rules->categories[index];
        double score = match_score(match, index);
        char names[2048];

        if (score == 0)
                return 0;
        match_names(match, index, names, sizeof names);
        return add_result(call, response, score >= category->threshold, score,
                          brick_printf(call, "%s: %s", category->name, names));
}

/* Adds the result `limit` for a text that is too long or has undecided rules. */
static int add_limit(struct brick_instance *self, struct brick_call *call, GuardResponse *response,
                     const struct match *match, bool too_long)
{
        char names[2048];
        char *detail;

        if (!too_long && match->undecided == 0)
                return 0;
        match_names(match, MATCH_ALL, names, sizeof names);
        detail = brick_printf(call, "limit: %s%s%s", too_long ? "the text is too long" : "",
                              too_long && names[0] ? ", " : "", names);
        if (!detail)
                return -ENOMEM;
        log_limit(self, detail);
        return self->limits.flag ? add_result(call, response, true, LIMIT_CONFIDENCE, detail) : 0;
}

static int by_confidence(const void *a, const void *b)
{
        const GuardResult *const *x = a, *const *y = b;

        return ((*x)->confidence < (*y)->confidence) - ((*x)->confidence > (*y)->confidence);
}

static int judge(struct brick_instance *self, struct brick_call *call, const char *text,
                 size_t length, GuardResponse *response)
{
        const struct rules *rules = self->rules;
        size_t checked = cut(text, length, self->limits.max_text);
        void *memory = brick_alloc(call, match_size(rules, checked));
        struct match match;
        int r;

        if (!memory)
                return brick_fail(call, BRICK_E_INTERNAL,
                                  "The text needs more memory than a call has.",
                                  "See limits.memory of the brick.");
        r = match_text(&match, rules, MATCH_ALL, text, checked, memory);
        for (size_t i = 0; i < rules->n_categories && r == 0; i++)
                r = add_category(call, response, &match, i);
        if (r == 0)
                r = add_limit(self, call, response, &match, checked < length);
        if (r == 0 && response->n_results == 0)
                r = add_result(call, response, false, 0, (char *)"");
        if (r == 0)
                qsort(response->results, response->n_results, sizeof(GuardResult *), by_confidence);
        return r;
}

static int guard_unary(struct brick_instance *self, struct brick_call *call,
                       const GuardRequest *request, GuardResponse *response)
{
        struct brick_bytes bytes = brick_host->call_request(call);
        const char *text;
        size_t length;
        int r;

        r = request_text(bytes.ptr, bytes.len, &text, &length); /* request->text may be shorter */
        if (r < 0)
                return r;
        return judge(self, call, text, length, response);
}

struct brick_filter {
        struct stream *stream;
};

static void filter_close(struct brick_filter *filter)
{
        if (!filter)
                return;
        stream_free(filter->stream);
        free(filter);
}

static int filter_open(struct brick_instance *self, struct brick_filter **ret)
{
        struct brick_filter *filter = calloc(1, sizeof *filter);

        if (!filter)
                return -ENOMEM;
        filter->stream = stream_new(self->streams);
        if (!filter->stream) {
                filter_close(filter);
                return -ENOMEM;
        }
        *ret = filter;
        return 0;
}

static int filter_push(struct brick_filter *filter, struct brick_str text, uint32_t is_last,
                       struct brick_judgement *ret)
{
        return stream_push(filter->stream, text.ptr, text.len, is_last != 0, ret);
}

static const struct brick_guard handlers = { .service_info = guard_info, .unary = guard_unary };

static const struct brick_option options[] = {
        { .name = "rules", .type = BRICK_PATH, .summary = "rule file in place of the one shipped" },
        { .name = "extra_rules", .type = BRICK_PATH, .summary = "rule file beside it" },
        { .name = "categories",
          .type = BRICK_LIST,
          .summary = "categories to look for; without: all" },
        { .name = "threshold",
          .type = BRICK_FLOAT,
          .min = 0,
          .max = 1,
          .summary = "score that makes an attack, for all categories" },
        { .name = "on_limit",
          .type = BRICK_ENUM,
          .fallback = "flag",
          .choices = "flag|ignore",
          .summary = "what to make of a text too long or too costly to judge" },
        { .name = "max_text",
          .type = BRICK_SIZE,
          .fallback = "1MiB",
          .min = 1024,
          .max = 16 << 20,
          .summary = "how much of a text is looked at" },
        {},
};

BRICK_GUARD(handlers, .name = "guard-rules", .version = VERSION,
            .summary = "finds prompt injection, jailbreaks, secrets and personal data by rules",
            .options = options, .create = guard_create, .destroy = guard_free,
            .filter_open = filter_open, .filter_push = filter_push, .filter_close = filter_close);

/* SPDX-License-Identifier: MIT */

/* guard-rules: reports the categories of rules that a text matches. See README.md. */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brick-sdk.h"
#include "decode.h"
#include "places.h"
#include "request.h"
#include "setup.h"
#include "stream.h"

#define VERSION "1.0"
#define LOG_INTERVAL 10 /* seconds between log lines about limits */
#define LIMIT_CONFIDENCE 0.5f
#define NAMES_MAX 16
#define REASONS_MAX 1024 /* bytes */

struct brick_instance {
        struct setup setup;
        bool observes;
        struct stream_plan *streams;
        struct stream_limits limits;
        atomic_llong logged; /* CLOCK_MONOTONIC_COARSE, seconds */
};

static void guard_free(struct brick_instance *self)
{
        if (!self)
                return;
        stream_plan_free(self->streams);
        setup_done(&self->setup);
        free(self);
}

static int guard_create(const struct brick_host *host, struct brick_ctx *ctx,
                        const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self;
        int r;

        self = calloc(1, sizeof *self);
        if (!self)
                return -ENOMEM;
        self->setup.ctx = ctx;
        self->limits.max_text = (size_t)host->node_int(host->node_get(config, "max_text"));
        self->limits.flag = strcmp(host->node_str(host->node_get(config, "on_limit")).ptr,
                                   "flag") == 0;
        atomic_init(&self->logged, -LOG_INTERVAL);
        self->observes = strcmp(host->node_str(host->node_get(config, "mode")).ptr, "observe") == 0;
        self->limits.flag = self->limits.flag && !self->observes;
        r = setup(&self->setup, config);
        if (r == 0)
                r = stream_plan_new(&self->streams, &self->setup.judge, &self->limits);
        if (r < 0) {
                guard_free(self);
                return r;
        }
        if (self->setup.rules->slow)
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
        for (size_t i = 0; i < self->setup.rules->n_categories; i++) {
                const struct category *category = &self->setup.rules->categories[i];
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
                brick_logf(brick_host, self->setup.ctx, BRICK_LOG_WARNING,
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

/* Writes "a, b and 3 more": why a category is blamed. Never a part of the text. */
static void write_reasons(const struct verdict *verdict, size_t category, char *out, size_t size)
{
        size_t count = 0, n = 0;

        out[0] = '\0';
        for (size_t i = 0; i < verdict->n_hits && n < size; i++) {
                const struct hit *hit = &verdict->hits[i];
                const char *encoding = encoding_name(hit->encoding);
                const char *why = strcmp(hit->rule, JUDGE_MODEL) == 0 ? verdict->why : "";

                if (hit->category != category || ++count > NAMES_MAX)
                        continue;
                n += (size_t)snprintf(out + n, size - n, "%s%s%s%s%s%s", count > 1 ? ", " : "",
                                      encoding, encoding[0] ? " " : "", hit->rule,
                                      why[0] ? ": " : "", why);
        }
        if (count > NAMES_MAX && n < size)
                snprintf(out + n, size - n, " and %zu more", count - NAMES_MAX);
}

/* Adds the results of the categories that have a hit, each once. */
static int add_categories(struct brick_instance *self, struct brick_call *call,
                          GuardResponse *response, const struct verdict *verdict)
{
        char reasons[REASONS_MAX];
        int r = 0;

        for (size_t i = 0; i < verdict->n_hits && r == 0; i++) {
                uint32_t index = verdict->hits[i].category;
                const struct category *category = &self->setup.rules->categories[index];
                double score = judge_score(verdict, index);
                bool known = false;

                for (size_t j = 0; j < i; j++)
                        known = known || verdict->hits[j].category == index;
                if (known)
                        continue;
                write_reasons(verdict, index, reasons, sizeof reasons);
                r = add_result(call, response, category_blames(category, score), score,
                               brick_printf(call, "%s: %s", category->name, reasons));
        }
        return r;
}

/* Adds the result `limit` for a text that is too long or has undecided rules. */
static int add_limit(struct brick_instance *self, struct brick_call *call, GuardResponse *response,
                     const struct match *match, const struct verdict *verdict, bool too_long)
{
        char names[REASONS_MAX];
        char *detail;

        if (!too_long && match->undecided == 0 && !verdict->undecoded)
                return 0;
        match_names(match, MATCH_ALL, names, sizeof names);
        if (verdict->undecoded && !names[0])
                snprintf(names, sizeof names, "too much is encoded");
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
        const struct rules *rules = self->setup.rules;
        size_t checked = cut(text, length, self->limits.max_text);
        void *memory = brick_alloc(call, match_size(rules, checked));
        struct verdict verdict;
        struct match match;
        int r;

        if (!memory)
                return brick_fail(call, BRICK_E_INTERNAL,
                                  "The text needs more memory than a call has.",
                                  "See limits.memory of the brick.");
        r = judge_text(&self->setup.judge, text, checked, memory, &match, &verdict);
        if (r == 0)
                r = add_categories(self, call, response, &verdict);
        if (r == 0)
                r = add_limit(self, call, response, &match, &verdict, checked < length);
        if (r == 0 && verdict.n_hits > 0)
                places_tell(call, &self->setup.judge, self->streams, &verdict, text, checked);
        if (r == 0 && response->n_results == 0)
                r = add_result(call, response, false, 0, (char *)"");
        if (r == 0 && response->n_results > 1)
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
        { .name = "model",
          .type = BRICK_PATH,
          .summary = "model that `brickctl train` wrote, in place of the one of the rules" },
        { .name = "judges",
          .type = BRICK_ENUM,
          .fallback = "all",
          .choices = "all|rules",
          .summary = "the rules and the model, or the rules alone" },
        { .name = "mode",
          .type = BRICK_ENUM,
          .fallback = "enforce",
          .choices = "enforce|observe",
          .summary = "observe: report everything, and let every text pass" },
        { .name = "actions",
          .type = BRICK_MAP,
          .summary = "what a category leads to: block, flag or mask" },
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
            .summary = "finds prompt injection, jailbreaks, secrets and personal data by rules and "
                       "a model",
            .options = options, .create = guard_create, .destroy = guard_free,
            .filter_open = filter_open, .filter_push = filter_push, .filter_close = filter_close);

/* SPDX-License-Identifier: MIT */
#include "serve/genai.h"

#include <string.h>

#include "conf/conf.h"
#include "module/instance.h"
#include "serve/access.h"
#include "serve/served.h"
#include "serve/usage.h"

/* Copies a text of printable ASCII without spaces, as names of models are. False: it is none, or
 * longer. */
static bool copy_name(char *to, size_t max, struct brick_str text)
{
        *to = '\0';
        if (text.len == 0 || text.len > max)
                return false;
        for (size_t i = 0; i < text.len; i++)
                if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
                        return false;
        memcpy(to, text.ptr, text.len);
        to[text.len] = '\0';
        return true;
}

/* A request without a model goes to the brick, whose name is its model for clients. */
static void find_request_model(char ret[static STATS_MODEL_MAX + 1], const struct served *call)
{
        struct brick_str model = access_model(call);

        if (model.len == 0)
                model = brick_str(call->base.instance->conf->name);
        if (!copy_name(ret, STATS_MODEL_MAX, model))
                (void)strcpy(ret, GENAI_OTHER);
}

static enum genai_operation operation_of(const struct served *call)
{
        return call->http_route && strcmp(call->http_route, "/v1/completions") == 0
                       ? GENAI_TEXT_COMPLETION
                       : GENAI_CHAT;
}

static enum genai_provider provider_of(const struct instance *brick)
{
        return strcmp(brick->conf->module, "openai") == 0 ? GENAI_OPENAI : GENAI_BRICKD;
}

bool genai_of_call(struct genai_call *ret, struct served *call, const struct served_end *end)
{
        const struct instance *brick = call->base.instance;
        struct usage usage;

        if (!brick || brick->type != BRICK_TYPE_LLM ||
            call->base.method == BRICK_METHOD_SERVICE_INFO)
                return false;
        usage_of_call(&usage, &call->base);
        ret->key.operation = operation_of(call);
        ret->key.provider = provider_of(brick);
        ret->key.error = genai_error_of(end->status, end->in_band ? stats_class_of(end->code)
                                                                  : STATS_CLASS_GOOD);
        find_request_model(ret->key.request_model, call);
        (void)copy_name(ret->key.response_model, STATS_MODEL_MAX, usage.model);
        (void)copy_name(ret->finish_reason, GENAI_REASON_MAX, usage.finish_reason);
        ret->counted = usage.known;
        ret->input = usage.prompt;
        ret->output = usage.completion;
        return true;
}

/* Whether the configuration names the model. */
static bool is_known(const struct conf_brick *brick, const char *model)
{
        for (size_t i = 0; i < brick->n_match_model; i++)
                if (strcmp(brick->match_model[i], model) == 0)
                        return true;
        return strcmp(brick->name, model) == 0;
}

static void count_stream(struct stats_genai_counters *counters, const struct served *call,
                         const struct genai_call *about, const struct served_end *end)
{
        uint64_t first = call->first_sent - call->base.started;

        genai_observe(&counters->first, GENAI_METRIC_FIRST, first);
        if (about->counted && about->output > 1 && end->duration >= first)
                genai_observe(&counters->per_token, GENAI_METRIC_PER_TOKEN,
                              (end->duration - first) / (uint64_t)(about->output - 1));
}

void genai_count(struct served *call, const struct served_end *end)
{
        struct stats_genai_counters *counters;
        struct genai_call about;

        if (!genai_of_call(&about, call, end))
                return;
        /* What nobody serves may be any text. */
        if (about.key.error > 0 && !is_known(call->base.instance->conf, about.key.request_model))
                (void)strcpy(about.key.request_model, GENAI_OTHER);
        counters = &genai_place(call->port->serve->stats->head, &about.key)->counters;
        genai_observe(&counters->duration, GENAI_METRIC_DURATION, end->duration);
        if (about.key.error == 0 && call->last_sent > 0)
                count_stream(counters, call, &about, end);
        if (about.counted) {
                genai_observe(&counters->input, GENAI_METRIC_TOKENS, (uint64_t)about.input);
                genai_observe(&counters->output, GENAI_METRIC_TOKENS, (uint64_t)about.output);
        }
}

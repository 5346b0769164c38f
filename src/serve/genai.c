/* SPDX-License-Identifier: MIT */
#include "serve/genai.h"

#include <string.h>

#include "conf/conf.h"
#include "module/instance.h"
#include "serve/access.h"
#include "serve/served.h"
#include "serve/service.h"
#include "serve/usage.h"
#include "serve/validate.h"

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

/* False: it was no call to a model. */
static bool is_to_model(const struct call *call)
{
        return call->instance && call->instance->type == BRICK_TYPE_LLM &&
               call->method != BRICK_METHOD_SERVICE_INFO;
}

/* model: of the request; empty: the request goes to the brick, whose name is its model for clients.
 */
static void describe(struct genai_call *ret, const struct instance *brick, struct brick_str model,
                     const struct usage *usage)
{
        ret->key.provider = provider_of(brick);
        if (model.len == 0)
                model = brick_str(brick->conf->name);
        if (!copy_name(ret->key.request_model, STATS_MODEL_MAX, model))
                (void)strcpy(ret->key.request_model, GENAI_OTHER);
        (void)copy_name(ret->key.response_model, STATS_MODEL_MAX, usage->model);
        (void)copy_name(ret->finish_reason, GENAI_REASON_MAX, usage->finish_reason);
        ret->counted = usage->known;
        ret->input = usage->prompt;
        ret->output = usage->completion;
}

static unsigned error_of(unsigned status, bool in_band, int32_t code)
{
        return genai_error_of(status, in_band ? stats_class_of(code) : STATS_CLASS_GOOD);
}

bool genai_of_call(struct genai_call *ret, struct served *call, const struct served_end *end)
{
        struct usage usage;

        if (!is_to_model(&call->base))
                return false;
        call_lock(&call->base);
        usage_of_call(&usage, &call->base);
        call_unlock(&call->base);
        describe(ret, call->base.instance, access_model(call), &usage);
        ret->key.operation = operation_of(call);
        ret->key.error = error_of(end->status, end->in_band, end->code);
        return true;
}

bool genai_of_child(struct call *parent, const struct call *child,
                    const struct child_trailers *trailers, struct genai_call *ret)
{
        const struct outcome *outcome = &child->outcome;
        struct brick_str model = {};
        struct usage usage;

        if (!is_to_model(child))
                return false;
        usage_of_trailers(&usage, trailers);
        validate_find_strings(child->request.ptr, child->request.len,
                              &service_of_type(BRICK_TYPE_LLM)->model_id, 1, &model);
        describe(ret, child->instance, model, &usage);
        ret->key.operation = GENAI_CHAT;
        ret->key.error = error_of(outcome->in_band ? 0 : outcome->status, outcome->in_band,
                                  outcome->code);
        return true;
}

/* Whether the configuration names the model, or the brick says that it has it, or has answered with
 * it. A client may call a model anything. */
static bool is_known(const struct instance *brick, const struct genai_key *key)
{
        const struct conf_brick *conf = brick->conf;
        const char *model = key->request_model;

        for (size_t i = 0; i < conf->n_match_model; i++)
                if (strcmp(conf->match_model[i], model) == 0)
                        return true;
        for (size_t i = 0; i < brick->n_models; i++)
                if (strcmp(brick->models[i], model) == 0)
                        return true;
        return strcmp(conf->name, model) == 0 || strcmp(key->response_model, model) == 0;
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
        if (!is_known(call->base.instance, &about.key))
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

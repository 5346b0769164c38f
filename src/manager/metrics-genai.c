/* SPDX-License-Identifier: MIT */

/* Metrics of calls to language models, under the names of OpenTelemetry's conventions. */

#include <stddef.h>
#include <string.h>

#include "manager/metrics-page.h"
#include "manager/tally.h"
#include "util/clock.h"

/* For Prometheus, the dots of a name become underscores. An attribute that is not known is left
 * out. */
static void put_label(struct page *p, enum genai_attribute attribute, const char *value)
{
        char key[64];
        char *dot;

        if (!*value)
                return;
        (void)snprintf(key, sizeof key, "%s", genai_attribute_to_string(attribute));
        while ((dot = strchr(key, '.')))
                *dot = '_';
        page_label(p, key, value);
}

struct line {
        const struct genai_key *key;
        const char *token_type; /* "": none */
};

static void begin_line(struct page *p, const char *suffix, const struct line *line)
{
        const struct genai_key *key = line->key;

        page_begin(p, suffix);
        put_label(p, GENAI_ATTRIBUTE_OPERATION, genai_operation_to_string(key->operation));
        put_label(p, GENAI_ATTRIBUTE_PROVIDER, genai_provider_to_string(key->provider));
        put_label(p, GENAI_ATTRIBUTE_REQUEST_MODEL, key->request_model);
        put_label(p, GENAI_ATTRIBUTE_RESPONSE_MODEL, key->response_model);
        put_label(p, GENAI_ATTRIBUTE_ERROR_TYPE, genai_error_to_string(key->error));
        put_label(p, GENAI_ATTRIBUTE_TOKEN_TYPE, line->token_type);
}

static void put_histogram(struct page *p, const struct line *line, enum genai_metric metric,
                          const struct stats_histogram *h)
{
        const struct genai_metric_spec *spec = &genai_metrics[metric];
        const double unit = metric == GENAI_METRIC_TOKENS ? 1 : (double)NSEC_PER_SEC;
        uint64_t count = 0;
        char bound[32];

        if (stats_observed(h) == 0)
                return;
        for (unsigned i = 0; i <= spec->n_bounds; i++) {
                count = stats_sum(count, stats_get(&h->buckets[i]));
                if (i < spec->n_bounds)
                        (void)snprintf(bound, sizeof bound, "%.9g", (double)spec->bounds[i] / unit);
                begin_line(p, "_bucket", line);
                page_label(p, "le", i < spec->n_bounds ? bound : "+Inf");
                page_end(p, count);
        }
        begin_line(p, "_sum", line);
        if (metric == GENAI_METRIC_TOKENS)
                page_end(p, stats_get(&h->sum));
        else
                page_end_seconds(p, stats_get(&h->sum));
        begin_line(p, "_count", line);
        page_end(p, count);
}

/* offset: of the histogram among the counters of a key. */
static void put_each(struct page *p, enum genai_metric metric, size_t offset,
                     const char *token_type)
{
        for (size_t i = 0; i < p->tally->n_genai; i++) {
                const struct tally_genai *genai = p->tally->genai[i];
                const char *counters = (const char *)&genai->counters;

                put_histogram(p, &(struct line){ &genai->key, token_type }, metric,
                              (const struct stats_histogram *)(const void *)(counters + offset));
        }
}

#define OFFSET(MEMBER) offsetof(struct stats_genai_counters, MEMBER)

void metrics_put_genai(struct page *p)
{
        static const size_t offsets[GENAI_METRICS] = {
                [GENAI_METRIC_DURATION] = OFFSET(duration),
                [GENAI_METRIC_FIRST] = OFFSET(first),
                [GENAI_METRIC_PER_TOKEN] = OFFSET(per_token),
                [GENAI_METRIC_TOKENS] = OFFSET(input),
        };

        for (unsigned i = 0; i < GENAI_METRICS; i++) {
                page_family(p, genai_metrics[i].name, genai_metrics[i].help, "histogram");
                put_each(p, i, offsets[i], i == GENAI_METRIC_TOKENS ? "input" : "");
        }
        put_each(p, GENAI_METRIC_TOKENS, OFFSET(output), "output");
}

/* SPDX-License-Identifier: MIT */
#include "classify.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate.h"

#define NONE UINT32_MAX
#define LEARNED_FROM 400   /* examples at most; more would only take time */
#define UNKNOWN_WEIGHT 0.5 /* as if one text in three belonged to no category */

struct posting {
        uint32_t example;
        float weight;
};

struct entry { /* of a feature that an example has */
        uint32_t hash;
        uint32_t n;     /* examples that have it; 0: the slot is free */
        uint32_t first; /* of its postings */
        float idf;
};

struct classifier {
        const struct examples *examples;
        struct entry *table; /* open addressing; the size is a power of two */
        size_t mask;
        struct posting *postings;
        float unseen; /* idf of a feature that no example has */
        struct calibration calibration;
};

/* ---- the index ------------------------------------------------------------------------------ */

static struct entry *slot(const struct classifier *c, uint32_t hash)
{
        size_t i = hash * UINT32_C(2654435761) & c->mask;

        while (c->table[i].n > 0 && c->table[i].hash != hash)
                i = (i + 1) & c->mask;
        return &c->table[i];
}

static float idf_of(const struct classifier *c, uint32_t hash)
{
        const struct entry *entry = slot(c, hash);

        return entry->n > 0 ? entry->idf : c->unseen;
}

/* Weights of a text's features, with length 1. */
static void weigh(const struct classifier *c, const struct features *text,
                  float weights[FEATURES_MAX])
{
        float sum = 0, scale;

        for (size_t i = 0; i < text->n; i++) {
                weights[i] = (1 + logf(text->list[i].count)) * idf_of(c, text->list[i].hash);
                sum += weights[i] * weights[i];
        }
        scale = sum > 0 ? 1 / sqrtf(sum) : 0;
        for (size_t i = 0; i < text->n; i++)
                weights[i] *= scale;
}

static void features_of_example(const struct classifier *c, size_t i, struct features *ret)
{
        const char *text = c->examples->list[i]->text;

        features_of(text, strlen(text), ret);
}

/* Room for all features of all examples. Returns their number, or -ENOMEM. */
static ssize_t make_table(struct classifier *c)
{
        struct features features;
        size_t n = 0, size = 1;

        for (size_t i = 0; i < c->examples->n; i++) {
                features_of_example(c, i, &features);
                n += features.n;
        }
        while (size < 2 * n + 1)
                size *= 2;
        c->mask = size - 1;
        c->table = calloc(size, sizeof *c->table);
        c->postings = malloc(n * sizeof *c->postings + 1);
        return c->table && c->postings ? (ssize_t)n : -ENOMEM;
}

static void count_examples(struct classifier *c)
{
        struct features features;

        for (size_t i = 0; i < c->examples->n; i++) {
                features_of_example(c, i, &features);
                for (size_t k = 0; k < features.n; k++) {
                        struct entry *entry = slot(c, features.list[k].hash);

                        entry->hash = features.list[k].hash;
                        entry->n++;
                }
        }
}

static void set_idf(struct classifier *c)
{
        float n = (float)c->examples->n;
        uint32_t next = 0;

        for (size_t i = 0; i <= c->mask; i++) {
                struct entry *entry = &c->table[i];

                entry->idf = logf((1 + n) / (1 + (float)entry->n)) + 1;
                entry->first = next;
                next += entry->n;
        }
        c->unseen = logf(1 + n) + 1;
}

/* first of each entry counts up, and is put back. */
static void fill_postings(struct classifier *c)
{
        struct features features;
        float weights[FEATURES_MAX];

        for (size_t i = 0; i < c->examples->n; i++) {
                features_of_example(c, i, &features);
                weigh(c, &features, weights);
                for (size_t k = 0; k < features.n; k++) {
                        struct entry *entry = slot(c, features.list[k].hash);

                        c->postings[entry->first++] = (struct posting){
                                .example = (uint32_t)i,
                                .weight = weights[k],
                        };
                }
        }
        for (size_t i = 0; i <= c->mask; i++)
                c->table[i].first -= c->table[i].n;
}

/* ---- likeness ------------------------------------------------------------------------------- */

struct scratch {
        float *similarity; /* of each example */
        uint32_t *nearest; /* of each category: an example, or NONE */
};

size_t classifier_size(const struct classifier *c)
{
        return c->examples->n * sizeof(float) + c->examples->n_categories * sizeof(uint32_t);
}

static struct scratch scratch_in(const struct classifier *c, void *memory)
{
        float *similarity = memory;

        return (struct scratch){ similarity, (uint32_t *)(void *)(similarity + c->examples->n) };
}

static void compare(const struct classifier *c, const struct features *text, struct scratch s)
{
        float weights[FEATURES_MAX];

        weigh(c, text, weights);
        memset(s.similarity, 0, c->examples->n * sizeof *s.similarity);
        for (size_t i = 0; i < text->n; i++) {
                const struct entry *entry = slot(c, text->list[i].hash);
                const struct posting *posting = &c->postings[entry->first];

                for (uint32_t k = 0; k < entry->n; k++)
                        s.similarity[posting[k].example] += weights[i] * posting[k].weight;
        }
}

/* The nearest example of each category, but not the one that is left out. */
static void find_nearest(const struct classifier *c, struct scratch s, size_t left_out)
{
        memset(s.nearest, 0xff, c->examples->n_categories * sizeof *s.nearest);
        for (size_t i = 0; i < c->examples->n; i++) {
                uint32_t *nearest = &s.nearest[c->examples->list[i]->category];

                if (i != left_out && s.similarity[i] > 0 &&
                    (*nearest == NONE || s.similarity[i] > s.similarity[*nearest]))
                        *nearest = (uint32_t)i;
        }
}

static double similarity_to(const struct scratch *s, size_t category)
{
        return s->nearest[category] == NONE ? 0 : (double)s->similarity[s->nearest[category]];
}

/* The category that the text is most like, besides two. n_categories: there is none. */
static size_t best_besides(const struct classifier *c, const struct scratch *s, size_t a, size_t b)
{
        size_t best = c->examples->n_categories;

        for (size_t k = 0; k < c->examples->n_categories; k++)
                if (k != a && k != b && s->nearest[k] != NONE &&
                    (best == c->examples->n_categories ||
                     similarity_to(s, k) > similarity_to(s, best)))
                        best = k;
        return best;
}

static double similarity_or_0(const struct classifier *c, const struct scratch *s, size_t category)
{
        return category < c->examples->n_categories ? similarity_to(s, category) : 0;
}

/* ---- how sure ------------------------------------------------------------------------------- */

static struct calibration_point point_of(const struct classifier *c, const struct scratch *s,
                                         size_t best, size_t second)
{
        double top = similarity_or_0(c, s, best);

        return (struct calibration_point){
                .similarity = top,
                .lead = top - similarity_or_0(c, s, second),
        };
}

/* An example, as the others see it: once with its category, and once without. */
static void learn_from(const struct classifier *c, const struct scratch *s, size_t category,
                       struct calibration_point points[2])
{
        size_t none = c->examples->n_categories;
        size_t best = best_besides(c, s, none, none);

        points[0] = point_of(c, s, best, best_besides(c, s, best, none));
        points[0].right = best == category;
        points[0].weight = 1;
        best = best_besides(c, s, category, none);
        points[1] = point_of(c, s, best, best_besides(c, s, category, best));
        points[1].weight = UNKNOWN_WEIGHT;
}

static int calibrate(struct classifier *c)
{
        size_t step = (c->examples->n + LEARNED_FROM - 1) / LEARNED_FROM, n = 0;
        struct calibration_point *points = calloc(LEARNED_FROM, 2 * sizeof *points);
        void *memory = malloc(classifier_size(c));
        int r = memory && points ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < c->examples->n; i += step) {
                struct scratch s = scratch_in(c, memory);
                struct features features;

                features_of_example(c, i, &features);
                compare(c, &features, s);
                find_nearest(c, s, i);
                learn_from(c, &s, c->examples->list[i]->category, &points[n]);
                n += 2;
        }
        if (r == 0)
                c->calibration = calibrate_from(points, n);
        free(points);
        free(memory);
        return r;
}

int classifier_new(const struct examples *examples, struct classifier **ret)
{
        struct classifier *c = calloc(1, sizeof *c);
        ssize_t n;

        if (!c)
                return -ENOMEM;
        c->examples = examples;
        n = make_table(c);
        if (n >= 0) {
                count_examples(c);
                set_idf(c);
                fill_postings(c);
        }
        if (n < 0 || calibrate(c) < 0) {
                classifier_free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

void classifier_free(struct classifier *c)
{
        if (!c)
                return;
        free(c->table);
        free(c->postings);
        free(c);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

size_t classify(const struct classifier *c, const struct features *text, void *memory,
                struct verdict *verdicts, size_t max)
{
        size_t none = c->examples->n_categories, n = 0, best, second;
        struct scratch s = scratch_in(c, memory);
        double top, next;

        compare(c, text, s);
        find_nearest(c, s, SIZE_MAX);
        best = best_besides(c, &s, none, none);
        second = best_besides(c, &s, best, none);
        top = similarity_or_0(c, &s, best);
        next = similarity_or_0(c, &s, second);
        while (n < max && (best = best_besides(c, &s, none, none)) < none) {
                double similarity = similarity_to(&s, best);

                verdicts[n] = (struct verdict){
                        .category = best,
                        .example = s.nearest[best],
                        .similarity = similarity,
                        .confidence = calibration_confidence(&c->calibration, similarity,
                                                             n == 0 ? top - next
                                                                    : similarity - top),
                };
                s.nearest[best] = NONE;
                n++;
        }
        return n;
}

/* ---- reasons -------------------------------------------------------------------------------- */

static float weight_in(const struct classifier *c, uint32_t hash, size_t example)
{
        const struct entry *entry = slot(c, hash);
        uint32_t low = 0, high = entry->n;

        while (low < high) {
                const struct posting *posting;
                uint32_t middle = low + (high - low) / 2;

                posting = &c->postings[entry->first + middle];
                if (posting->example == example)
                        return posting->weight;
                if (posting->example < example)
                        low = middle + 1;
                else
                        high = middle;
        }
        return 0;
}

/* Adds to the place that the feature is from. */
static void gather(struct weighed *places, size_t *n, const struct feature *feature, double weight)
{
        size_t i = 0;

        while (i < *n && (places[i].start != feature->start || places[i].length != feature->length))
                i++;
        if (i == *n)
                places[(*n)++] = (struct weighed){ feature->start, feature->length, 0 };
        places[i].weight += weight;
}

static int by_weight(const void *a, const void *b)
{
        const struct weighed *x = a, *y = b;

        return (x->weight < y->weight) - (x->weight > y->weight);
}

size_t classifier_explain(const struct classifier *c, const struct features *text, size_t example,
                          struct weighed *weighed, size_t max)
{
        struct weighed places[FEATURES_MAX];
        float weights[FEATURES_MAX];
        size_t n = 0;

        weigh(c, text, weights);
        for (size_t i = 0; i < text->n; i++) {
                float other = weight_in(c, text->list[i].hash, example);

                if (other > 0)
                        gather(places, &n, &text->list[i], (double)(weights[i] * other));
        }
        qsort(places, n, sizeof places[0], by_weight);
        n = n < max ? n : max;
        memcpy(weighed, places, n * sizeof places[0]);
        return n;
}

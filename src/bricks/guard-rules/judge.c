/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "fold.h"

#define DEPTH 2 /* encodings inside of one another */

const char *judge_init(struct judge *judge, const struct rules *rules, const struct linear *model)
{
        *judge = (struct judge){ .rules = rules, .model = model };
        for (uint32_t i = 1; model && i < model->header.n_labels; i++) {
                const struct category *category = rules_category(rules, model->header.labels[i]);

                if (!category)
                        return model->header.labels[i];
                judge->categories[i] = (uint32_t)(category - rules->categories);
        }
        return NULL;
}

bool judge_is_told(const struct judge *judge, uint32_t category, double probability)
{
        const struct category *c = &judge->rules->categories[category];

        return !c->off && probability >= c->threshold / 2;
}

/* Whether the model knows texts of this category. */
static bool is_of_model(const struct judge *judge, uint32_t category)
{
        for (uint32_t i = 1; judge->model && i < judge->model->header.n_labels; i++)
                if (judge->categories[i] == category)
                        return true;
        return !judge->model;
}

static void add_hit(struct verdict *verdict, const struct hit *hit)
{
        if (verdict->n_hits < HITS_MAX)
                verdict->hits[verdict->n_hits++] = *hit;
}

double judge_score(const struct verdict *verdict, size_t category)
{
        double rules = 0, model = 0;

        for (size_t i = 0; i < verdict->n_hits; i++) {
                const struct hit *hit = &verdict->hits[i];

                if (hit->category != category)
                        continue;
                if (strcmp(hit->rule, JUDGE_MODEL) != 0)
                        rules += (1 - rules) * hit->score;
                else if (hit->score > model)
                        model = hit->score;
        }
        return rules > model ? rules : model;
}

/* Whether a category of the model is an attack already, so that the model need not be asked. */
static bool is_blamed(const struct judge *judge, const struct verdict *verdict)
{
        for (size_t i = 0; i < verdict->n_hits; i++) {
                uint32_t category = verdict->hits[i].category;

                if (is_of_model(judge, category) &&
                    judge_score(verdict, category) >= judge->rules->categories[category].threshold)
                        return true;
        }
        return false;
}

/* What is judged at one time: the text itself, or what was hidden in it. */
struct layer {
        const struct judge *judge;
        uint64_t begin; /* budget_now() when the text came */
        struct verdict *verdict;
        struct match *match;
        enum encoding encoding;
        struct place place; /* of the encoded text in the original one */
};

/* Changes places in the folded text to places in the text. */
static void unfold(const struct match *match, struct place *places, size_t n)
{
        struct folding f = {};
        char *out;

        if (match->folded_length == match->raw_length) /* nothing has moved */
                return;
        f.out = out = malloc(match->raw_length + 1);
        f.origins = malloc((match->raw_length + 1) * sizeof *f.origins);
        if (f.out && f.origins && fold_more(&f, match->raw, match->raw_length, 0)) {
                fold_end(&f);
                for (size_t i = 0; i < n; i++) {
                        places[i].from = places[i].from < f.n ? f.origins[places[i].from]
                                                              : match->raw_length;
                        places[i].to = places[i].to < f.n ? f.origins[places[i].to]
                                                          : match->raw_length;
                }
        }
        free(out);
        free(f.origins);
}

/* The hits of a layer from `first` on have places in its folded text, or in its text. */
static void place_hits(const struct layer *layer, size_t first)
{
        struct verdict *verdict = layer->verdict;

        for (size_t i = first; i < verdict->n_hits; i++) {
                struct hit *hit = &verdict->hits[i];
                struct place place = { hit->from, hit->to };

                if (layer->encoding != ENCODING_NONE)
                        place = layer->place;
                else
                        unfold(layer->match, &place, 1);
                hit->from = place.from;
                hit->to = place.to < place.from ? place.from : place.to;
        }
}

static bool has_rule(const struct verdict *verdict, const char *rule)
{
        for (size_t i = 0; i < verdict->n_hits; i++)
                if (verdict->hits[i].rule == rule)
                        return true;
        return false;
}

static void take_rules(const struct layer *layer)
{
        const struct match *match = layer->match;
        const struct rules *rules = match->rules;

        for (size_t i = 0; i < match->n_hits; i++) {
                const struct rule *rule = &rules->rules[match->hits[i]];
                const struct place *place = &match->places[match->hits[i]];

                if (layer->encoding != ENCODING_NONE &&
                    (!is_of_model(layer->judge, rule->category) ||
                     has_rule(layer->verdict, rule->id)))
                        continue;
                add_hit(layer->verdict, &(struct hit){ .category = rule->category,
                                                       .rule = rule->id,
                                                       .score = rule->score,
                                                       .encoding = layer->encoding,
                                                       .from = place->from,
                                                       .to = place->to });
        }
}

static void ask_model(const struct layer *layer)
{
        const struct linear *model = layer->judge->model;
        const struct match *match = layer->match;
        struct linear_scan scan;
        struct hit hit;

        linear_begin(&scan, model);
        linear_push(&scan, match->folded, match->folded_length, 0);
        linear_end(&scan, (uint32_t)match->folded_length);
        hit = (struct hit){ .category = layer->judge->categories[scan.worst.label],
                            .rule = JUDGE_MODEL,
                            .score = linear_probability(model, &scan.worst),
                            .encoding = layer->encoding,
                            .from = scan.worst.from,
                            .to = scan.worst.to };
        if (scan.worst.label == 0 || !judge_is_told(layer->judge, hit.category, hit.score))
                return;
        add_hit(layer->verdict, &hit);
        linear_explain(model, &scan.worst, match->folded, layer->verdict->why,
                       sizeof layer->verdict->why);
}

static void judge_layer(const struct layer *layer)
{
        size_t first = layer->verdict->n_hits;

        take_rules(layer);
        if (layer->judge->model && !is_blamed(layer->judge, layer->verdict))
                ask_model(layer);
        place_hits(layer, first);
}

static void judge_hidden(const struct layer *outer, const char *text, size_t length,
                         uint32_t encodings, int depth);

/* Judges a text that was hidden, with memory of its own. */
static void judge_decoded(const struct layer *outer, const struct decoded *decoded, int depth)
{
        struct layer layer = *outer;
        struct match match;
        void *memory;

        memory = malloc(match_size(layer.judge->rules, decoded->length));
        if (!memory)
                return;
        layer.match = &match;
        layer.encoding = decoded->encoding;
        if (outer->encoding == ENCODING_NONE)
                layer.place = (struct place){ decoded->from, decoded->to };
        if (match_text(&match, layer.judge->rules, MATCH_ALL, decoded->text, decoded->length,
                       memory) == 0) {
                judge_layer(&layer);
                judge_hidden(&layer, decoded->text, decoded->length,
                             match.encodings | encodings_of(decoded->text, decoded->length), depth);
        }
        free(memory);
}

static void judge_hidden(const struct layer *outer, const char *text, size_t length,
                         uint32_t encodings, int depth)
{
        struct decoder decoder;
        struct decoded decoded;

        if (depth == DEPTH || encodings == 0)
                return;
        decoder_begin(&decoder, text, length, encodings);
        while (!is_blamed(outer->judge, outer->verdict) && decoder_next(&decoder, &decoded)) {
                if (budget_now() - outer->begin > 2 * MATCH_BUDGET) {
                        outer->verdict->undecoded = true;
                        break;
                }
                judge_decoded(outer, &decoded, depth + 1);
        }
        decoder_end(&decoder);
}

int judge_text(const struct judge *judge, const char *text, size_t length, void *memory,
               struct match *match, struct verdict *ret)
{
        struct layer layer = {
                .judge = judge, .begin = budget_now(), .verdict = ret, .match = match
        };
        int r;

        ret->n_hits = 0;
        ret->undecoded = false;
        ret->why[0] = '\0';
        r = match_text(match, judge->rules, MATCH_ALL, text, length, memory);
        if (r < 0)
                return r;
        judge_layer(&layer);
        if (!is_blamed(judge, ret))
                judge_hidden(&layer, text, length, match->encodings | encodings_of(text, length),
                             0);
        return 0;
}

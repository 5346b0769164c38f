/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "stream-own.h"

uint32_t stream_place(const struct stream *s, uint32_t offset)
{
        const struct folding *f = &s->folding;
        size_t i = offset > s->folded.base ? offset - s->folded.base : 0;

        return i < f->n ? f->origins[i] : f->space ? f->space_at : s->raw.end;
}

static void add_finding(struct stream *s, const struct brick_finding *finding)
{
        if (s->n_findings == s->findings_size) {
                size_t size = s->findings_size ? s->findings_size * 2 : 8;
                struct brick_finding *p = reallocarray(s->findings, size, sizeof *p);

                if (!p) {
                        s->out_of_memory = true;
                        return;
                }
                s->findings = p;
                s->findings_size = size;
        }
        s->findings[s->n_findings++] = *finding;
        s->is_attack = s->is_attack || finding->is_attack;
}

/* Notes that a rule has hit, in ascending order. */
static void note_hit(struct stream *s, uint32_t index)
{
        size_t n = s->n_hits;

        if (s->tried[index].hit)
                return;
        s->tried[index].hit = true;
        for (; n > 0 && s->hits[n - 1] > index; n--)
                s->hits[n] = s->hits[n - 1];
        s->hits[n] = index;
        s->n_hits++;
}

void stream_add_hit(struct stream *s, uint32_t index, uint32_t start, uint32_t end)
{
        const struct rule *rule = &s->plan->rules->rules[index];
        const struct category *category = &s->plan->rules->categories[rule->category];
        double score;

        note_hit(s, index);
        score = rules_score(s->plan->rules, s->hits, s->n_hits, rule->category);
        add_finding(s, &(struct brick_finding){
                               .start = rule->raw ? start : stream_place(s, start),
                               .end = rule->raw ? end : stream_place(s, end),
                               .rule = brick_str(rule->id),
                               .category = brick_str(category->name),
                               .score = score,
                               .is_attack = category_blames(category, score),
                       });
}

void stream_stop(struct stream *s)
{
        if (s->over)
                return;
        s->over = true;
        add_finding(s, &(struct brick_finding){
                               .start = s->raw.end,
                               .end = s->raw.end,
                               .rule = brick_str("limit"),
                               .category = brick_str("limit"),
                               .score = 0.5,
                               .is_attack = s->plan->limits.flag,
                       });
}

/* Whether the rules have blamed a category already. */
static bool is_blamed(const struct stream *s, const struct category *category)
{
        const struct rules *rules = s->plan->rules;

        return rules_score(rules, s->hits, s->n_hits, (size_t)(category - rules->categories)) >=
               category->threshold;
}

void stream_ask_model(struct stream *s, uint32_t from)
{
        const struct judge *judge = s->plan->judge;
        const struct linear_window *worst = &s->model.worst;
        const struct category *category;
        uint32_t segments = s->model.n_segments;
        double probability;

        if (!judge->model)
                return;
        linear_push(&s->model, s->folded.bytes + (from - s->folded.base), s->folded.end - from,
                    from);
        if (s->is_last)
                linear_end(&s->model, s->folded.end);
        if (s->model.n_segments == segments || worst->label == 0 || s->told & 1u << worst->label)
                return;
        category = &judge->rules->categories[judge->categories[worst->label]];
        probability = linear_probability(judge->model, worst);
        if (category->off || probability < category->threshold || is_blamed(s, category))
                return;
        s->told |= 1u << worst->label;
        add_finding(s, &(struct brick_finding){
                               .start = stream_place(s, worst->from),
                               .end = stream_place(s, worst->to),
                               .rule = brick_str(JUDGE_MODEL),
                               .category = brick_str(category->name),
                               .score = probability,
                               .is_attack = category_blames(category, probability),
                       });
}

/* A finding is not empty, and begins behind what was settled before: what a need blames late, or a
 * limit, has no better place. False: there is none. */
static bool give_place(const struct stream *s, struct brick_finding *finding)
{
        if (s->given == s->settled)
                return false;
        if (finding->start >= s->given)
                finding->start = s->given - 1;
        if (finding->start < s->settled)
                finding->start = s->settled;
        if (finding->end <= finding->start)
                finding->end = finding->start + 1;
        return true;
}

static int by_start(const void *a, const void *b)
{
        const struct brick_finding *x = a, *y = b;

        return (x->start > y->start) - (x->start < y->start);
}

void stream_give_places(struct stream *s)
{
        size_t kept = 0;

        for (size_t i = 0; i < s->n_findings; i++)
                if (give_place(s, &s->findings[i]))
                        s->findings[kept++] = s->findings[i];
        s->n_findings = kept;
        if (s->n_findings > 1)
                qsort(s->findings, s->n_findings, sizeof *s->findings, by_start);
}

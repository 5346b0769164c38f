/* SPDX-License-Identifier: MIT */

/* A text in pieces is judged as if it came whole: the first byte says where it is cut. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "brick-yaml.h"
#include "match.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RULES_MAX_HERE 16

static const char yaml[] =
        "version: 1\n"
        "categories: { c: {}, d: {} }\n"
        "rules:\n"
        "  - { id: words, category: c, score: 0.5, literals: [ignore, ign, gnor, '忽略', '<|x|>'] "
        "}\n"
        "  - { id: phrase, category: c, score: 0.5, regex: 'ignore\\W+(?:\\w+\\W+){0,3}rules',\n"
        "      needs: [ignore, rules] }\n"
        "  - { id: near, category: c, score: 0.3, regex: 'a[bc]', needs: [card, pin] }\n"
        "  - { id: line, category: c, score: 0.3, regex: '^x[yz]$' }\n"
        "  - { id: behind, category: c, score: 0.3, regex: '(?<!not )do\\b(?! it)' }\n"
        "  - { id: card, category: d, score: 0.9, check: luhn, regex: '(?:\\d[ -]?){13,19}' }\n"
        "  - { id: raw, category: d, score: 0.9, raw: true, regex: '[\\x{200B}-\\x{200D}]{2}' }\n"
        "  - { id: rawneed, category: d, score: 0.4, raw: true, regex: 'A{2}', needs: key }\n";

static struct rules *rules;
static struct stream_plan *plan;
static struct judge judge;

static void load(void)
{
        const struct stream_limits limits = { .max_text = 1 << 20 };
        struct brick_yaml *file;

        if (rules_new(&rules) < 0 || brick_yaml_new(&file, "f") < 0 ||
            rules_parse(rules, "f", yaml, strlen(yaml), file) < 0 ||
            judge_init(&judge, rules, NULL) || stream_plan_new(&plan, &judge, &limits) < 0 ||
            rules->n_rules > RULES_MAX_HERE)
                abort();
        brick_yaml_free(file);
}

static void judge_whole(const char *text, size_t length, bool *hits, bool *ret_valid)
{
        void *memory = malloc(match_size(rules, length));
        struct match match;

        if (!memory)
                abort();
        *ret_valid = match_text(&match, rules, MATCH_ALL, text, length, memory) == 0;
        for (size_t i = 0; *ret_valid && i < rules->n_rules; i++)
                hits[i] = match.states[i] == RULE_HIT;
        free(memory);
}

static void note(const struct brick_judgement *j, uint64_t settled, size_t pushed, bool *hits)
{
        if (j->settled < settled || j->settled > pushed)
                abort();
        for (size_t i = 0; i < j->n_findings; i++) {
                const struct brick_finding *f = &j->findings[i];

                if (f->start < settled || f->end <= f->start || f->end > pushed)
                        abort();
                for (size_t rule = 0; rule < rules->n_rules; rule++) {
                        if (strcmp(rules->rules[rule].id, f->rule.ptr) == 0)
                                hits[rule] = true;
                }
        }
}

static bool judge_in_pieces(const char *text, size_t length, unsigned seed, bool *hits)
{
        struct brick_judgement j = { .struct_size = sizeof j };
        struct stream *stream = stream_new(plan);
        uint64_t settled = 0;
        size_t at = 0;
        int r = 0;

        if (!stream)
                abort();
        do {
                size_t n = seed >> 4 & 15;

                seed = seed * 1103515245 + 12345;
                if (n > length - at)
                        n = length - at;
                at += n;
                r = stream_push(stream, text + at - n, n, at == length, &j);
                if (r == 0)
                        note(&j, settled, at, hits);
                settled = j.settled;
        } while (r == 0 && at < length);
        stream_free(stream);
        return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        bool whole[RULES_MAX_HERE] = { 0 }, pieces[RULES_MAX_HERE] = { 0 };
        bool is_valid;

        if (!rules)
                load();
        if (size < 1 || size > STREAM_SIGHT) /* a longer match may be missed */
                return 0;
        judge_whole((const char *)data + 1, size - 1, whole, &is_valid);
        if (judge_in_pieces((const char *)data + 1, size - 1, data[0] * 2654435761u, pieces) !=
            is_valid)
                abort();
        if (is_valid && memcmp(whole, pieces, sizeof whole) != 0)
                abort();
        return 0;
}

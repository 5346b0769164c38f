/* SPDX-License-Identifier: MIT */
#include "stream-plan.h"

#include <errno.h>
#include <stdlib.h>

#include "match.h"

static void add_start(struct stream_plan *plan, unsigned byte, size_t pattern)
{
        plan->starts[byte * plan->n_words + pattern / 64] |= UINT64_C(1) << pattern % 64;
}

/* Finds the bytes with which a match can begin; unknown: all. */
static void find_starts(struct stream_plan *plan, size_t index)
{
        const pcre2_code *regex = plan->patterns[index].regex;
        const uint8_t *map = NULL;
        uint32_t kind = 0, first = 0;

        (void)pcre2_pattern_info(regex, PCRE2_INFO_FIRSTCODETYPE, &kind);
        (void)pcre2_pattern_info(regex, PCRE2_INFO_FIRSTCODEUNIT, &first);
        (void)pcre2_pattern_info(regex, PCRE2_INFO_FIRSTBITMAP, &map);
        for (unsigned byte = 0; byte < 256; byte++)
                if (kind == 1 ? byte == first || ((byte ^ first) == 0x20 && (byte | 0x20) >= 'a' &&
                                                  (byte | 0x20) <= 'z')
                              : kind != 0 || !map || (map[byte / 8] & 1 << byte % 8))
                        add_start(plan, byte, index);
}

static void add_pattern(struct stream_plan *plan, const struct rules *rules, uint32_t rule,
                        const pcre2_code *regex)
{
        struct pattern *pattern = &plan->patterns[plan->n_patterns];
        uint32_t characters = 0;

        (void)pcre2_pattern_info(regex, PCRE2_INFO_MAXLOOKBEHIND, &characters);
        *pattern = (struct pattern){ regex, rule, characters * 4 + 4 };
        if (pattern->back > STREAM_BACK)
                pattern->back = STREAM_BACK;
        if (rules->rules[rule].raw)
                plan->raw[plan->n_patterns / 64] |= UINT64_C(1) << plan->n_patterns % 64;
        find_starts(plan, plan->n_patterns++);
}

bool stream_is_off(const struct rules *rules, size_t rule)
{
        return rules->categories[rules->rules[rule].category].off;
}

int stream_plan_new(struct stream_plan **ret, const struct judge *judge,
                    const struct stream_limits *limits)
{
        struct stream_plan *plan = calloc(1, sizeof *plan);
        const struct rules *rules = judge->rules;
        size_t n = 0;

        if (!plan)
                return -ENOMEM;
        plan->judge = judge;
        plan->rules = rules;
        plan->limits = *limits;
        for (size_t i = 0; i < rules->n_rules; i++)
                n += stream_is_off(rules, i) ? 0 : rules->rules[i].n_regexes;
        plan->n_words = n / 64 + 1;
        plan->patterns = calloc(n + 1, sizeof *plan->patterns);
        plan->starts = calloc(256 * plan->n_words, sizeof *plan->starts);
        plan->raw = calloc(plan->n_words, sizeof *plan->raw);
        if (!plan->patterns || !plan->starts || !plan->raw) {
                stream_plan_free(plan);
                return -ENOMEM;
        }
        for (size_t i = 0; i < rules->n_rules; i++)
                for (size_t j = 0; j < rules->rules[i].n_regexes && !stream_is_off(rules, i); j++)
                        add_pattern(plan, rules, (uint32_t)i, rules->rules[i].regexes[j]);
        for (size_t i = 0; i < rules->n_list; i++)
                if (rules->list[i].length > plan->longest)
                        plan->longest = rules->list[i].length;
        if (plan->longest > STREAM_SIGHT - MATCH_REACH) /* do not wait for more of one */
                plan->longest = STREAM_SIGHT - MATCH_REACH;
        *ret = plan;
        return 0;
}

struct stream_plan *stream_plan_free(struct stream_plan *plan)
{
        if (!plan)
                return NULL;
        free(plan->patterns);
        free(plan->starts);
        free(plan->raw);
        free(plan);
        return NULL;
}

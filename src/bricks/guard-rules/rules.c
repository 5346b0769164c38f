/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

int rules_new(struct rules **ret)
{
        struct rules *rules = calloc(1, sizeof *rules);

        if (!rules)
                return -ENOMEM;
        *ret = rules;
        return 0;
}

static void ignore(void *p)
{
}

static void rule_done(struct rule *rule)
{
        for (size_t i = 0; i < rule->n_regexes; i++)
                pcre2_code_free(rule->regexes[i]);
        free(rule->regexes);
        free(rule->id);
}

static void category_done(struct category *category)
{
        for (size_t i = 0; i < category->n_languages; i++)
                free(category->languages[i]);
        free(category->languages);
        free(category->name);
}

struct rules *rules_free(struct rules *rules)
{
        if (!rules)
                return NULL;
        tdestroy(rules->ids, ignore);
        literals_free(rules->literals);
        for (size_t i = 0; i < rules->n_list; i++)
                free(rules->list[i].text);
        for (size_t i = 0; i < rules->n_rules; i++)
                rule_done(&rules->rules[i]);
        for (size_t i = 0; i < rules->n_categories; i++)
                category_done(&rules->categories[i]);
        free(rules->list);
        free(rules->always);
        free(rules->model);
        free(rules->rules);
        free(rules->categories);
        free(rules);
        return NULL;
}

struct category *rules_category(const struct rules *rules, const char *name)
{
        for (size_t i = 0; i < rules->n_categories; i++)
                if (strcmp(rules->categories[i].name, name) == 0)
                        return &rules->categories[i];
        return NULL;
}

double rules_score(const struct rules *rules, const uint32_t *hits, size_t n, size_t category)
{
        double score = 0;

        for (size_t i = 0; i < n; i++)
                if (rules->rules[hits[i]].category == category)
                        score += (1 - score) * rules->rules[hits[i]].score;
        return score;
}

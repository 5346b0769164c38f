/* SPDX-License-Identifier: MIT */

/*
 * test-held-out RULES TEXTS [SHOW]: how many texts of each group the shipped rules and model blame,
 * and whether that is as good as README.md says. SHOW: prints the texts that come out wrong, and
 * expects nothing.
 */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brick-yaml.h"
#include "decode.h"
#include "judge.h"
#include "texts.h"

#define GROUPS_MAX 64
#define BROKEN_BAR "\xc2\xa6" /* is left out, see held-out.tsv */

struct group {
        uint32_t label;
        const char *name;
        size_t n;
        size_t blamed;
};

static struct rules *load_rules(const char *path)
{
        struct brick_yaml *yaml;
        struct rules *rules;

        assert(rules_new(&rules) == 0 && brick_yaml_new(&yaml, path) == 0);
        if (rules_read(rules, path, yaml) < 0) {
                for (size_t i = 0; brick_yaml_mistake(yaml, i); i++)
                        fprintf(stderr, "%s\n", brick_yaml_mistake(yaml, i));
                abort();
        }
        brick_yaml_free(yaml);
        return rules;
}

static size_t without_bars(char *text, size_t length)
{
        char *bar;

        while ((bar = memmem(text, length, BROKEN_BAR, 2))) {
                length -= 2;
                memmove(bar, bar + 2, length - (size_t)(bar - text));
        }
        return length;
}

static bool judge(const struct judge *judge, const struct labelled_text *text, char *why)
{
        char *copy = malloc(text->length + 1);
        size_t length;
        struct verdict verdict;
        struct match match;
        bool blamed = false;
        void *memory;

        assert(copy);
        memcpy(copy, text->text, text->length);
        length = without_bars(copy, text->length);
        memory = malloc(match_size(judge->rules, length));
        assert(memory && judge_text(judge, copy, length, memory, &match, &verdict) == 0);
        why[0] = '\0';
        for (size_t i = 0; i < verdict.n_hits; i++) {
                const struct hit *hit = &verdict.hits[i];
                const struct category *category = &judge->rules->categories[hit->category];

                assert(hit->from <= hit->to && hit->to <= length);
                blamed = blamed || category_blames(category, judge_score(&verdict, hit->category));
                snprintf(why, 256, "%s %s %.2f %s", encoding_name(hit->encoding), hit->rule,
                         hit->score, strcmp(hit->rule, JUDGE_MODEL) == 0 ? verdict.why : "");
        }
        free(memory);
        free(copy);
        return blamed;
}

static struct group *find_group(struct group *groups, size_t *n, const struct labelled_text *text)
{
        for (size_t i = 0; i < *n; i++)
                if (groups[i].label == text->label && strcmp(groups[i].name, text->group) == 0)
                        return &groups[i];
        assert(*n < GROUPS_MAX);
        groups[*n] = (struct group){ text->label, text->group, 0, 0 };
        return &groups[(*n)++];
}

/* The share of a label's texts that is blamed, in percent, and of one group if it is not NULL. */
static double share(const struct group *groups, size_t n, const struct texts *texts,
                    const char *label, const char *name)
{
        size_t all = 0, blamed = 0;

        for (size_t i = 0; i < n; i++) {
                if (strcmp(texts->labels[groups[i].label], label) != 0 ||
                    (name && strcmp(groups[i].name, name) != 0))
                        continue;
                all += groups[i].n;
                blamed += groups[i].blamed;
        }
        return all > 0 ? (double)blamed * 100 / (double)all : 0;
}

int main(int argc, char **argv)
{
        struct group groups[GROUPS_MAX];
        struct linear *model;
        struct judge j;
        struct rules *rules;
        struct texts *texts;
        const char *error;
        char *mistake;
        size_t n = 0;

        assert(argc == 3 || argc == 4);
        rules = load_rules(argv[1]);
        model = linear_read(rules->model, &error);
        assert(model && !judge_init(&j, rules, model));
        if (texts_read(argv[2], &texts, &mistake) < 0) {
                fprintf(stderr, "%s\n", mistake);
                abort();
        }
        for (size_t i = 0; i < texts->n; i++) {
                const struct labelled_text *text = &texts->list[i];
                struct group *group = find_group(groups, &n, text);
                char why[256];
                bool blamed = judge(&j, text, why);

                group->n++;
                group->blamed += blamed;
                if (blamed == (strcmp(texts->labels[text->label], "harmless") == 0) && argc == 4)
                        printf("%s/%s [%s] %.*s\n", texts->labels[text->label], text->group, why,
                               200, text->text);
        }
        for (size_t i = 0; i < n; i++)
                printf("%4zu of %4zu  %s/%s\n", groups[i].blamed, groups[i].n,
                       texts->labels[groups[i].label], groups[i].name);
        if (argc == 3) {
                assert(share(groups, n, texts, "attack", NULL) >= 70);
                assert(share(groups, n, texts, "secret", NULL) >= 85);
                assert(share(groups, n, texts, "personal", NULL) >= 80);
                assert(share(groups, n, texts, "harmless", "ordinary") <= 2);
                assert(share(groups, n, texts, "harmless", "hard") <= 8);
        }
        texts_free(texts);
        linear_free(model);
        rules_free(rules);
        return 0;
}

/* SPDX-License-Identifier: MIT */

/* Rule files: every mistake has its line; the shipped file finds attacks and lets all else pass. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brick-yaml.h"
#include "match.h"

/* A good beginning, four lines. */
#define HEAD "version: 1\ncategories: { c: {} }\nrules:\n"
#define RULE HEAD "  - id: x\n    category: c\n    score: 0.5\n"

static const struct {
        const char *yaml;
        const char *problems; /* one a line */
} mistakes[] = {
        { "", "f:1:1: expected a map with the keys version, model, categories, rules\n" },
        { "# nothing\n",
          "f:1:1: expected a map with the keys version, model, categories, rules\n" },
        { "just words", "f:1:1: expected a map with the keys version, model, categories, rules\n" },
        { "a: [1, 2",
          "f:2:1: expected \",\" or \"]\" (while parsing a flow sequence from line 1)\n" },
        { "a:\n\tb: 1\n", "f:2:1: indent with spaces, not with tabs\n" },
        { "ok: 1\nbad: \xff\n", "f:2:6: not UTF-8: byte 0xff\n" },
        { "version: 1\n---\nversion: 1\n",
          "f:2:1: a second document starts here; only one is allowed\n" },
        { "version: 1\nrules: !!seq []\n",
          "f:2:8: tags such as tag:yaml.org,2002:seq are not supported\n" },
        { "? [a]\n: 1\n", "f:1:3: a key must be a scalar, not a list or a map\n" },
        { "\"a\\0b\": 1\n", "f:1:1: a key must not have an anchor or a NUL character\n" },
        { "version: 1\nrules: \"a\\0b\"\n", "f:2:8: rules: contains a NUL character\n" },
        { "version: 1\nversion: 1\n", "f:2:1: version: duplicate key; the first is on line 1\n" },
        { "version: 1\nrules: *x\n", "f:2:8: there is no anchor &x before this alias\n" },
        /* one run tells of mistakes of all kinds, by place */
        { "version: 2\nrule: !x []\nversion: 1\n",
          "f:1:10: version: a rule file says `version: 1`\n"
          "f:2:1: rule: unknown key; there are version, model, categories, rules\n"
          "f:2:7: tags such as !x are not supported\n"
          "f:3:1: version: duplicate key; the first is on line 1\n" },
        { "version: 2\n", "f:1:10: version: a rule file says `version: 1`\n" },
        { "rules: []\n", "f: a rule file says `version: 1`\n" },
        { "version: 1\nrule: []\n",
          "f:2:1: rule: unknown key; there are version, model, categories, rules\n" },
        { "version: 1\ncategories: []\nrules: {}\n",
          "f:2:13: categories: expected a map of categories\n"
          "f:3:8: rules: expected a list of rules\n" },
        { "version: 1\ncategories: { Shout: {}, c: { threshold: 2, limit: 1 }, d: 1 }\n",
          "f:2:22: categories.Shout: a name is 1 to 64 of a-z, 0-9, '-', '_' and '.'\n"
          "f:2:42: categories.c.threshold: expected a number above 0, up to 1\n"
          "f:2:45: categories.c.limit: unknown key; there are threshold, description\n"
          "f:2:60: categories.d: expected a map with the keys threshold, description\n" },
        { HEAD "  - word\n",
          "f:4:5: rules[0]: expected a map with the keys id, category, score, description, "
          "languages, regex, check, needs, literals, case_sensitive, raw, tests\n" },
        { HEAD "  - {}\n", "f:4:5: rules[0]: 'id' is missing\n"
                           "f:4:5: rules[0]: 'category' is missing\n"
                           "f:4:5: rules[0]: 'score' is missing\n"
                           "f:4:5: rules[0]: a rule has a regex or literals\n" },
        { HEAD "  - { id: Bad Name, category: d, score: high, regex: x }\n",
          "f:4:11: rules[0].id: a name is 1 to 64 of a-z, 0-9, '-', '_' and '.'\n"
          "f:4:31: rules[0].category: there is no category 'd': name it under categories\n"
          "f:4:41: rules[0].score: expected a number above 0, up to 1\n" },
        { HEAD "  - { id: [], category: {}, score: '0.5', regex: x }\n",
          "f:4:11: rules[0].id: expected a text\n"
          "f:4:25: rules[0].category: expected a text\n"
          "f:4:36: rules[0].score: expected a number above 0, up to 1\n" },
        { RULE "    regex: x\n  - { id: x, category: c, score: 1, regex: y }\n",
          "f:8:11: rules[1].id: there is a rule 'x' already\n" },
        { RULE "    regex: ['(', 'a*', '', [x], '\\C']\n",
          "f:7:13: rules[0].regex[0]: after 1 bytes: missing closing parenthesis\n"
          "f:7:18: rules[0].regex[1]: this regex matches nothing at all as well, so it is in every "
          "text\n"
          "f:7:24: rules[0].regex[2]: expected a text\n"
          "f:7:28: rules[0].regex[3]: expected a text\n"
          "f:7:33: rules[0].regex[4]: after 2 bytes: using \\C is disabled by the application\n" },
        { RULE "    literals: [a, \"\\u200b\", '']\n",
          "f:7:19: rules[0].literals[1]: nothing is left of this once it is folded\n"
          "f:7:29: rules[0].literals[2]: expected a text\n" },
        { RULE "    literals: a\n    needs: b\n    raw: yes\n    check: luhn\n",
          "f:8:12: rules[0].needs: this goes with a regex\n"
          "f:9:10: rules[0].raw: expected true or false\n"
          "f:9:10: rules[0].raw: this goes with a regex\n"
          "f:10:12: rules[0].check: this goes with a regex\n" },
        { RULE "    regex: x\n    check: crc32\n",
          "f:8:12: rules[0].check: no such check; there are luhn, iban, tw-id, cn-id, cpf, es-id, "
          "fr-nir, sg-nric, random, password, direct\n" },
        { RULE "    regex: x\n    languages: [en, {}]\n",
          "f:8:21: rules[0].languages[1]: expected a text\n" },
        { RULE "    regex: x\n    tests: { match: [[]], fail: a, pass: {} }\n",
          "f:8:22: rules[0].tests.match[0]: expected a text\n"
          "f:8:27: rules[0].tests.fail: unknown key; there are match, pass\n"
          "f:8:42: rules[0].tests.pass: expected a text\n" },
        /* a file's own tests come last, when all else is well */
        { RULE "    regex: x\n    tests:\n      match: [a x, b]\n      pass: [c, x]\n",
          "f:9:20: rules[0].tests.match[1]: rule 'x' does not match this\n"
          "f:10:17: rules[0].tests.pass[1]: rule 'x' matches this\n" },
        { RULE "    regex: x\n    tests: { match: a }\n",
          "f:8:21: rules[0].tests.match: rule 'x' does not match this\n" },
        { RULE
          "    regex: '(a+)+$'\n    tests: { pass: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! }\n",
          "f:8:20: rules[0].tests.pass: rule 'x' takes too long on this\n" },
        { RULE "    regex: x\n    needs: y\n    tests: { match: x }\n",
          "f:9:21: rules[0].tests.match: rule 'x' does not match this\n" },
};

static struct brick_yaml *yaml_new(const char *name)
{
        struct brick_yaml *yaml;

        assert(brick_yaml_new(&yaml, name) == 0);
        return yaml;
}

static struct rules *rules_empty(void)
{
        struct rules *rules;

        assert(rules_new(&rules) == 0);
        return rules;
}

static char *join(const struct brick_yaml *yaml)
{
        char *joined = NULL;
        size_t size;
        FILE *f = open_memstream(&joined, &size);

        assert(f);
        for (size_t i = 0; brick_yaml_mistake(yaml, i); i++)
                fprintf(f, "%s\n", brick_yaml_mistake(yaml, i));
        fclose(f);
        return joined;
}

static void test_mistakes(void)
{
        for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
                const char *text = mistakes[i].yaml;
                struct brick_yaml *yaml = yaml_new("f");
                struct rules *rules = rules_empty();
                char *said;

                assert(rules_parse(rules, "f", text, strlen(text), yaml) == -EINVAL);
                said = join(yaml);
                if (strcmp(said, mistakes[i].problems) != 0) {
                        fprintf(stderr, "of\n%s\nis said\n%s\nand not\n%s\n", text, said,
                                mistakes[i].problems);
                        abort();
                }
                free(said);
                brick_yaml_free(yaml);
                rules_free(rules);
        }
}

/* Of many mistakes the first 20 are kept and all are counted. */
static void test_many_mistakes(void)
{
        struct brick_yaml *yaml = yaml_new("f");
        struct rules *rules = rules_empty();
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert(f);
        fputs(HEAD, f);
        for (int i = 0; i < 1000; i++)
                fputs("  - 1\n", f);
        fclose(f);
        assert(rules_parse(rules, "f", text, size, yaml) == -EINVAL);
        assert(brick_yaml_mistakes(yaml) == 1000);
        assert(strncmp(brick_yaml_mistake(yaml, 0), "f:4:5: rules[0]: ", 17) == 0);
        assert(strncmp(brick_yaml_mistake(yaml, 19), "f:23:5: rules[19]: ", 19) == 0);
        assert(!brick_yaml_mistake(yaml, 20));
        brick_yaml_free(yaml);
        rules_free(rules);
        free(text);
}

/* The largest file that is allowed, and one rule more. */
static void test_many_rules(void)
{
        for (int n = RULES_MAX; n <= RULES_MAX + 1; n++) {
                struct brick_yaml *yaml = yaml_new("f");
                struct rules *rules = rules_empty();
                char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);

                assert(f);
                fputs(HEAD, f);
                for (int i = 0; i < n; i++)
                        fprintf(f, "  - { id: r%d, category: c, score: 1, literals: x%x }\n", i, i);
                fclose(f);
                if (n == RULES_MAX) {
                        assert(rules_parse(rules, "f", text, size, yaml) == 0);
                } else {
                        assert(rules_parse(rules, "f", text, size, yaml) == -EINVAL);
                        assert(strstr(brick_yaml_mistake(yaml, 0), "more than 10000 rules"));
                }
                brick_yaml_free(yaml);
                rules_free(rules);
                free(text);
        }
}

/* Deep nesting and an alias that grows without end are refused, not followed. */
static void test_bombs(void)
{
        static const char deep[] = "f:1:65: nested deeper than 64 levels";
        static const char grown[] =
                "f:5:16: more than 100000 values; every alias counts as all values of its anchor";
        static const char bomb[] = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
                                   "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                                   "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
                                   "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
                                   "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n";
        char brackets[1000];
        const struct {
                const char *text;
                size_t length;
                const char *line;
        } cases[] = { { brackets, sizeof brackets, deep }, { bomb, strlen(bomb), grown } };

        memset(brackets, '[', sizeof brackets);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct brick_yaml *yaml = yaml_new("f");
                struct rules *rules = rules_empty();

                assert(rules_parse(rules, "f", cases[i].text, cases[i].length, yaml) == -EINVAL);
                assert(strcmp(brick_yaml_mistake(yaml, 0), cases[i].line) == 0);
                brick_yaml_free(yaml);
                rules_free(rules);
        }
}

static void expect_loaded(struct rules *rules, const char *text)
{
        struct brick_yaml *yaml = yaml_new("f");

        if (rules_parse(rules, "f", text, strlen(text), yaml) < 0) {
                fprintf(stderr, "%s\n", brick_yaml_mistake(yaml, 0));
                abort();
        }
        brick_yaml_free(yaml);
}

/* A $ in a regex is a $, and ${HOME} is not the environment's. Texts may be shared by an alias. */
static void test_verbatim(void)
{
        struct rules *rules = rules_empty();

        expect_loaded(rules, RULE "    regex: ['x\\$$', \"a$\", '[${]{2}HOME}']\n"
                                  "    tests: { match: &texts ['x$', a, '${HOME}'] }\n"
                                  "  - id: y\n"
                                  "    category: c\n"
                                  "    score: 1\n"
                                  "    regex: '.'\n"
                                  "    tests: { match: *texts }\n");
        rules_free(rules);
}

/* A second file adds rules, and changes thresholds; its own tests see all the rules. */
static void test_two_files(void)
{
        static const char second[] = "version: 1\n"
                                     "categories: { c: { threshold: 0.2 } }\n"
                                     "rules:\n"
                                     "  - id: y\n"
                                     "    category: c\n"
                                     "    score: 0.5\n"
                                     "    literals: more\n"
                                     "    tests: { match: no more, pass: x }\n";
        static const char again[] = RULE "    regex: z\n";
        struct brick_yaml *yaml = yaml_new("h");
        struct rules *rules = rules_empty();

        expect_loaded(rules, again);
        expect_loaded(rules, second);
        assert(rules->n_rules == 2 && rules->n_categories == 1);
        assert(rules_category(rules, "c")->threshold == 0.2);
        assert(rules_category(rules, "c")->n_rules == 2);
        assert(!rules_category(rules, "d"));
        assert(rules_parse(rules, "f", again, strlen(again), yaml) == -EINVAL);
        assert(strcmp(brick_yaml_mistake(yaml, 0),
                      "h:4:9: rules[0].id: there is a rule 'x' already") == 0);
        brick_yaml_free(yaml);
        rules_free(rules);
}

static void expect_unreadable(const char *path, const char *why)
{
        struct brick_yaml *yaml = yaml_new(path);
        struct rules *rules = rules_empty();
        char line[256];

        snprintf(line, sizeof line, "%s: %s", path, why);
        assert(rules_read(rules, path, yaml) == -EINVAL);
        assert(brick_yaml_mistakes(yaml) == 1);
        assert(strcmp(brick_yaml_mistake(yaml, 0), line) == 0);
        brick_yaml_free(yaml);
        rules_free(rules);
}

static void test_unreadable(void)
{
        char path[] = "/tmp/test-rules-XXXXXX";
        int fd = mkstemp(path);

        assert(fd >= 0);
        assert(ftruncate(fd, RULES_FILE_MAX + 1) == 0);
        close(fd);
        expect_unreadable(path, "larger than 4 MiB");
        unlink(path);
        expect_unreadable(path, "No such file or directory");
        expect_unreadable("/tmp", "not a regular file");
        expect_unreadable("/dev/null", "not a regular file");
}

/* ---- the shipped rules ------------------------------------------------------------------ */

static struct rules *load(const char *path)
{
        struct brick_yaml *yaml = yaml_new(path);
        struct rules *rules = rules_empty();

        if (rules_read(rules, path, yaml) < 0) {
                fputs(join(yaml), stderr);
                abort();
        }
        brick_yaml_free(yaml);
        return rules;
}

/* Says what is found in a text; returns how sure it is of one category, or (NULL) of any attack. */
static double score_of(const struct rules *rules, const char *text, const char *category)
{
        char *memory = malloc(match_size(rules, strlen(text)));
        double highest = 0;
        struct match match;

        assert(memory);
        assert(match_text(&match, rules, MATCH_ALL, text, strlen(text), memory) == 0);
        assert(match.undecided == 0);
        for (size_t i = 0; i < rules->n_categories; i++) {
                double score = rules_score(rules, match.hits, match.n_hits, i);
                char names[256];

                if (category && strcmp(rules->categories[i].name, category) != 0)
                        continue;
                if (score < rules->categories[i].threshold)
                        continue;
                match_names(&match, i, names, sizeof names);
                if (!category)
                        fprintf(stderr, "%s: %s\n", rules->categories[i].name, names);
                if (score > highest)
                        highest = score;
        }
        free(memory);
        return highest;
}

static size_t judge_lines(const struct rules *rules, const char *path, bool attacks)
{
        FILE *f = fopen(path, "r");
        size_t size = 0, n = 0, wrong = 0;
        char *line = NULL;

        assert(f);
        while (getline(&line, &size, f) > 0) {
                char *text = line, *category = NULL;

                line[strcspn(line, "\n")] = '\0';
                if (n++ == 0) /* the file's comment */
                        continue;
                if (attacks)
                        category = strsep(&text, " ");
                if ((score_of(rules, text, category) > 0) == attacks)
                        continue;
                fprintf(stderr, "%s: %s\n", attacks ? "missed" : "wrongly blamed", text);
                wrong++;
        }
        free(line);
        fclose(f);
        assert(n > 20);
        return wrong;
}

int main(int argc, char **argv)
{
        struct rules *rules;

        assert(argc == 4);
        test_mistakes();
        test_many_mistakes();
        test_many_rules();
        test_bombs();
        test_verbatim();
        test_two_files();
        test_unreadable();

        rules = load(argv[1]);
        assert(rules->n_rules >= 60);
        assert(judge_lines(rules, argv[2], false) == 0);
        assert(judge_lines(rules, argv[3], true) == 0);
        rules_free(rules);
        return 0;
}

/* SPDX-License-Identifier: MIT */

/* Rule files: every mistake has its line; the shipped file finds attacks and lets all else pass. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "match.h"

/* A good beginning, four lines. */
#define HEAD "version: 1\ncategories: { c: {} }\nrules:\n"
#define RULE HEAD "  - id: x\n    category: c\n    score: 0.5\n"

static const struct {
        const char *yaml;
        const char *problems; /* one a line */
} mistakes[] = {
        { "", "f: the file is empty\n" },
        { "# nothing\n", "f: the file is empty\n" },
        { "just words", "f:1:1: expected a map with the keys version, categories, rules\n" },
        { "a: [1, 2", "f:2:1: did not find expected ',' or ']'\n" },
        { "a:\n\tb: 1\n", "f:2:1: found character that cannot start any token\n" },
        { "ok: 1\nbad: \xff\n", "f:2:1: not UTF-8: invalid leading UTF-8 octet\n" },
        { "version: 1\n---\nversion: 1\n", "f:2:1: a second document in one file\n" },
        { "a: &x 1\n", "f:1:4: anchors, aliases and tags have no meaning in a rule file\n" },
        { "a: !!str 1\n", "f:1:4: anchors, aliases and tags have no meaning in a rule file\n" },
        { "? [a]\n: 1\n", "f:1:3: a key must be a single word\n" },
        { "\"a\\0b\": 1\n", "f:1:1: a key must not contain a NUL byte\n" },
        { "version: 1\nversion: 1\n", "f:2:1: the key 'version' is here twice\n" },
        { "[[[[[[[[[[", "f:1:9: nested too deep\n" },
        { "version: 2\n", "f:1:10: version: a rule file says `version: 1`\n" },
        { "rules: []\n", "f: a rule file says `version: 1`\n" },
        { "version: 1\nrule: []\n",
          "f:2:7: rule: unknown key; there are version, categories, rules\n" },
        { "version: 1\ncategories: []\nrules: {}\n",
          "f:2:13: categories: expected a map of categories\n"
          "f:3:8: rules: expected a list of rules\n" },
        { "version: 1\ncategories: { Shout: {}, c: { threshold: 2, limit: 1 }, d: 1 }\n",
          "f:2:22: categories.Shout: a name is 1 to 64 of a-z, 0-9, '-', '_' and '.'\n"
          "f:2:52: categories.c.limit: unknown key; there are threshold, description\n"
          "f:2:42: categories.c.threshold: expected a number above 0, up to 1\n"
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
          "f:9:10: rules[0].raw: expected true or false\n"
          "f:10:12: rules[0].check: this goes with a regex\n"
          "f:8:12: rules[0].needs: this goes with a regex\n"
          "f:9:10: rules[0].raw: this goes with a regex\n" },
        { RULE "    regex: x\n    check: crc32\n",
          "f:8:12: rules[0].check: no such check; there are luhn, iban, tw-id, cn-id\n" },
        { RULE "    regex: x\n    languages: [en, {}]\n",
          "f:8:21: rules[0].languages[1]: expected a text\n" },
        { RULE "    regex: x\n    tests: { match: [[]], fail: a, pass: {} }\n",
          "f:8:33: rules[0].tests.fail: unknown key; there are match, pass\n"
          "f:8:22: rules[0].tests.match[0]: expected a text\n"
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

static char *join(const struct problems *problems)
{
        char *joined = NULL;
        size_t size;
        FILE *f = open_memstream(&joined, &size);

        assert(f);
        for (size_t i = 0; i < problems->count && i < PROBLEMS_SHOWN; i++)
                fprintf(f, "%s\n", problems->lines[i]);
        fclose(f);
        return joined;
}

static void test_mistakes(void)
{
        for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
                const char *yaml = mistakes[i].yaml;
                struct problems problems = {};
                struct rules *rules;
                char *said;

                assert(rules_new(&rules) == 0);
                assert(rules_parse(rules, "f", yaml, strlen(yaml), &problems) == -EINVAL);
                said = join(&problems);
                if (strcmp(said, mistakes[i].problems) != 0) {
                        fprintf(stderr, "of\n%s\nis said\n%s\nand not\n%s\n", yaml, said,
                                mistakes[i].problems);
                        abort();
                }
                free(said);
                problems_done(&problems);
                rules_free(rules);
        }
}

/* Of many mistakes the first 20 are kept and all are counted. */
static void test_many_mistakes(void)
{
        struct problems problems = {};
        struct rules *rules;
        char *yaml = NULL;
        size_t size;
        FILE *f = open_memstream(&yaml, &size);

        assert(f);
        fputs(HEAD, f);
        for (int i = 0; i < 1000; i++)
                fputs("  - 1\n", f);
        fclose(f);
        assert(rules_new(&rules) == 0);
        assert(rules_parse(rules, "f", yaml, size, &problems) == -EINVAL);
        assert(problems.count == 1000 && problems.lines[PROBLEMS_SHOWN - 1]);
        problems_done(&problems);
        rules_free(rules);
        free(yaml);
}

/* The largest file that is allowed, and one rule more. */
static void test_many_rules(void)
{
        for (int n = RULES_MAX; n <= RULES_MAX + 1; n++) {
                struct problems problems = {};
                struct rules *rules;
                char *yaml = NULL;
                size_t size;
                FILE *f = open_memstream(&yaml, &size);

                assert(f);
                fputs(HEAD, f);
                for (int i = 0; i < n; i++)
                        fprintf(f, "  - { id: r%d, category: c, score: 1, literals: x%x }\n", i, i);
                fclose(f);
                assert(rules_new(&rules) == 0);
                if (n == RULES_MAX) {
                        assert(rules_parse(rules, "f", yaml, size, &problems) == 0);
                } else {
                        assert(rules_parse(rules, "f", yaml, size, &problems) == -EINVAL);
                        assert(strstr(problems.lines[0], "more than 10000 rules"));
                }
                problems_done(&problems);
                rules_free(rules);
                free(yaml);
        }
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
        struct problems problems = {};
        struct rules *rules;

        assert(rules_new(&rules) == 0);
        assert(rules_parse(rules, "f", again, strlen(again), &problems) == 0);
        assert(rules_parse(rules, "g", second, strlen(second), &problems) == 0);
        assert(rules->n_rules == 2 && rules->n_categories == 1);
        assert(rules_category(rules, "c")->threshold == 0.2);
        assert(rules_category(rules, "c")->n_rules == 2);
        assert(!rules_category(rules, "d"));
        assert(rules_parse(rules, "h", again, strlen(again), &problems) == -EINVAL);
        assert(strcmp(problems.lines[0], "h:4:9: rules[0].id: there is a rule 'x' already") == 0);
        problems_done(&problems);
        rules_free(rules);
}

static void expect_unreadable(const char *path, const char *why)
{
        struct problems problems = {};
        struct rules *rules;
        char line[256];

        snprintf(line, sizeof line, "%s: %s", path, why);
        assert(rules_new(&rules) == 0);
        assert(rules_read(rules, path, &problems) == -EINVAL);
        assert(problems.count == 1 && strcmp(problems.lines[0], line) == 0);
        problems_done(&problems);
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
        struct problems problems = {};
        struct rules *rules;

        assert(rules_new(&rules) == 0);
        if (rules_read(rules, path, &problems) < 0) {
                fputs(join(&problems), stderr);
                abort();
        }
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
                double score = match_score(&match, i);
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
        test_two_files();
        test_unreadable();

        rules = load(argv[1]);
        assert(rules->n_rules >= 60);
        assert(judge_lines(rules, argv[2], false) == 0);
        assert(judge_lines(rules, argv[3], true) == 0);
        rules_free(rules);
        return 0;
}

/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "brick-yaml.h"
#include "file.h"
#include "fold.h"
#include "match.h"

#define NAME_MAX_LENGTH 64
#define REGEX_MAX_LENGTH 16384
#define PARENTHESES_MAX 100 /* levels of nesting */

static const char file_keys[] = "version, model, categories, rules";
static const char category_keys[] = "threshold, description";
static const char rule_keys[] = "id, category, score, description, languages, regex, check, needs, "
                                "literals, case_sensitive, raw, tests";
static const char tests_keys[] = "match, pass";

/* The state of reading one file. */
struct loader {
        struct rules *rules;
        const char *path;
        struct brick_yaml *yaml;
        pcre2_compile_context *context;
};

#define blame(loader, node, ...) brick_yaml_blame((loader)->yaml, node, __VA_ARGS__)

/* Appends a zeroed element to an array, whose capacity doubles. NULL: out of memory, which has been
 * reported. */
static void *append(struct loader *l, void *array, size_t *n, size_t size)
{
        char *p;

        memcpy(&p, array, sizeof p); /* array points to a pointer of another type */
        if ((*n & (*n - 1)) == 0) {
                p = reallocarray(p, *n ? *n * 2 : 1, size);
                if (!p) {
                        blame(l, NULL, "out of memory");
                        return NULL;
                }
                memcpy(array, &p, sizeof p);
        }
        return memset(p + (*n)++ * size, 0, size);
}

static char *copy(struct loader *l, const char *text)
{
        char *s = strdup(text);

        if (!s)
                blame(l, NULL, "out of memory");
        return s;
}

/* True: word is in a list such as "a, b, c". */
static bool is_among(const char *word, const char *words)
{
        size_t n = strcspn(word, ", ");

        if (word[n] != '\0')
                return false;
        for (const char *p = words; p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
                if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
                        return true;
        return false;
}

/* Checks a map and its keys. False: not a map, which has been reported. */
static bool check_map(struct loader *l, const struct brick_yaml_node *map, const char *keys)
{
        if (brick_yaml_kind(map) != BRICK_YAML_MAP) {
                blame(l, map, "expected a map with the keys %s", keys);
                return false;
        }
        for (size_t i = 0; i < brick_yaml_size(map); i++) {
                const struct brick_yaml_node *node = brick_yaml_at(map, i);

                if (!is_among(brick_yaml_key(node), keys))
                        brick_yaml_blame_key(l->yaml, node, "unknown key; there are %s", keys);
        }
        return true;
}

/* Checks a name that appears in replies, such as "prompt-injection". */
static bool check_name(struct loader *l, const struct brick_yaml_node *node, const char *name)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
        size_t n = strlen(name);

        if (n > 0 && n <= NAME_MAX_LENGTH && strspn(name, letters) == n)
                return true;
        blame(l, node, "a name is 1 to %d of a-z, 0-9, '-', '_' and '.'", NAME_MAX_LENGTH);
        return false;
}

/* A non-empty text. NULL: a mistake, which has been reported. */
static const char *read_text(struct loader *l, const struct brick_yaml_node *node)
{
        const char *text = brick_yaml_text(node);

        if (text && text[0] != '\0')
                return text;
        blame(l, node, "expected a text");
        return NULL;
}

static bool says(const struct brick_yaml_node *node, const char *text)
{
        return brick_yaml_text(node) && strcmp(brick_yaml_text(node), text) == 0;
}

/* A score or a threshold. */
static double read_number(struct loader *l, const struct brick_yaml_node *node)
{
        const char *text = brick_yaml_text(node);
        char *end = NULL;
        double value = -1;

        if (text && brick_yaml_plain(node))
                value = strtod(text, &end);
        if (end && end != text && *end == '\0' && value > 0 && value <= 1)
                return value;
        blame(l, node, "expected a number above 0, up to 1");
        return 1;
}

static bool read_bool(struct loader *l, const struct brick_yaml_node *node)
{
        if (!node || says(node, "false"))
                return false;
        if (!says(node, "true"))
                blame(l, node, "expected true or false");
        return true;
}

/* The size of a list; a single text counts as a list of one. */
static size_t list_size(const struct brick_yaml_node *node)
{
        return !node ? 0 : brick_yaml_kind(node) == BRICK_YAML_LIST ? brick_yaml_size(node) : 1;
}

static const struct brick_yaml_node *list_at(const struct brick_yaml_node *node, size_t i)
{
        return brick_yaml_kind(node) == BRICK_YAML_LIST ? brick_yaml_at(node, i) : node;
}

static void read_category(struct loader *l, const struct brick_yaml_node *node)
{
        const struct brick_yaml_node *threshold = brick_yaml_get(node, "threshold");
        const char *name = brick_yaml_key(node);
        struct category *category = rules_category(l->rules, name);

        if (!check_name(l, node, name) || !check_map(l, node, category_keys))
                return;
        if (!category) {
                category = append(l, &l->rules->categories, &l->rules->n_categories,
                                  sizeof *category);
                if (!category)
                        return;
                category->threshold = 0.5;
                category->name = copy(l, name);
                if (!category->name) {
                        l->rules->n_categories--;
                        return;
                }
        }
        if (threshold)
                category->threshold = read_number(l, threshold);
}

static void read_categories(struct loader *l, const struct brick_yaml_node *map)
{
        if (brick_yaml_kind(map) != BRICK_YAML_MAP) {
                blame(l, map, "expected a map of categories");
                return;
        }
        for (size_t i = 0; i < brick_yaml_size(map); i++)
                read_category(l, brick_yaml_at(map, i));
}

static void read_id(struct loader *l, const struct brick_yaml_node *node, struct rule *rule)
{
        const char *text = read_text(l, node);
        char *const *known;

        if (!text || !check_name(l, node, text))
                return;
        rule->id = copy(l, text);
        if (!rule->id)
                return;
        known = tsearch(rule->id, &l->rules->ids, (int (*)(const void *, const void *))strcmp);
        if (!known)
                blame(l, NULL, "out of memory");
        else if (*known != rule->id)
                blame(l, node, "there is a rule '%s' already", rule->id);
}

static void read_language(struct loader *l, const struct brick_yaml_node *node,
                          struct category *category)
{
        const char *text = read_text(l, node);
        char **language;

        if (!text)
                return;
        for (size_t i = 0; i < category->n_languages; i++)
                if (strcmp(category->languages[i], text) == 0)
                        return;
        language = append(l, &category->languages, &category->n_languages, sizeof *language);
        if (language)
                *language = copy(l, text);
}

static void read_category_of_rule(struct loader *l, const struct brick_yaml_node *map,
                                  struct rule *rule)
{
        const struct brick_yaml_node *node = brick_yaml_get(map, "category");
        const struct brick_yaml_node *languages = brick_yaml_get(map, "languages");
        const char *name = read_text(l, node);
        struct category *category;

        if (!name)
                return;
        category = rules_category(l->rules, name);
        if (!category) {
                blame(l, node, "there is no category '%s': name it under categories", name);
                return;
        }
        rule->category = (uint32_t)(category - l->rules->categories);
        category->n_rules++;
        for (size_t i = 0; i < list_size(languages); i++)
                read_language(l, list_at(languages, i), category);
}

static void read_regex(struct loader *l, const struct brick_yaml_node *node, struct rule *rule,
                       bool exact)
{
        uint32_t options = PCRE2_UTF | PCRE2_DOTALL | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                           PCRE2_USE_OFFSET_LIMIT | (exact ? 0 : PCRE2_CASELESS);
        const char *text = read_text(l, node);
        uint32_t may_be_empty = 0;
        PCRE2_SIZE offset;
        char message[128];
        pcre2_code **regex;
        int error;

        if (!text)
                return;
        regex = append(l, &rule->regexes, &rule->n_regexes, sizeof *regex);
        if (!regex)
                return;
        *regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &offset,
                               l->context);
        if (!*regex) {
                pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message);
                blame(l, node, "after %zu bytes: %s", offset, message);
                return;
        }
        pcre2_pattern_info(*regex, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
        if (may_be_empty)
                blame(l, node, "this regex matches nothing at all as well, so it is in every text");
        if (pcre2_jit_compile(*regex, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) != 0)
                l->rules->slow = true;
}

/* NULL: a mistake, which has been reported. */
static struct literal *add_literal(struct loader *l, const struct brick_yaml_node *node,
                                   const char *text)
{
        struct rules *rules = l->rules;
        struct literal *literal;

        if (rules->list_bytes + strlen(text) > LITERALS_BYTES_MAX) {
                blame(l, node, "all literals and needs together have over %d bytes",
                      LITERALS_BYTES_MAX);
                return NULL;
        }
        literal = append(l, &rules->list, &rules->n_list, sizeof *literal);
        if (!literal)
                return NULL;
        literal->text = copy(l, text);
        if (!literal->text)
                return NULL;
        literal->length = strlen(text);
        rules->list_bytes += literal->length;
        return literal;
}

static void read_literal(struct loader *l, const struct brick_yaml_node *node, uint32_t kind)
{
        const char *text = read_text(l, node);
        struct literal *literal = text ? add_literal(l, node, text) : NULL;

        if (!literal)
                return;
        literal->owner = (uint32_t)l->rules->n_rules - 1;
        literal->kind = kind;
        literal->length = fold_text(text, strlen(text), literal->text);
        if (literal->length == 0)
                blame(l, node, "nothing is left of this once it is folded");
}

static void read_check(struct loader *l, const struct brick_yaml_node *node, struct rule *rule)
{
        const char *name = read_text(l, node);

        if (!name)
                return;
        rule->check = check_find(name);
        if (!rule->check)
                blame(l, node, "no such check; there are %s", check_names);
}

/* Reads the regexes, literals and needs of a rule. */
static void read_patterns(struct loader *l, const struct brick_yaml_node *map, struct rule *rule)
{
        static const char *const of_regex[] = { "check", "needs", "case_sensitive", "raw" };
        const struct brick_yaml_node *regex = brick_yaml_get(map, "regex");
        const struct brick_yaml_node *needs = brick_yaml_get(map, "needs");
        const struct brick_yaml_node *literals = brick_yaml_get(map, "literals");
        bool exact = read_bool(l, brick_yaml_get(map, "case_sensitive"));

        rule->raw = read_bool(l, brick_yaml_get(map, "raw"));
        rule->needs = needs;
        for (size_t i = 0; i < list_size(regex); i++)
                read_regex(l, list_at(regex, i), rule, exact);
        for (size_t i = 0; i < list_size(needs); i++)
                read_literal(l, list_at(needs, i), LITERAL_NEED);
        for (size_t i = 0; i < list_size(literals); i++)
                read_literal(l, list_at(literals, i), LITERAL_WORD);
        if (brick_yaml_get(map, "check"))
                read_check(l, brick_yaml_get(map, "check"), rule);

        if (list_size(regex) == 0 && list_size(literals) == 0)
                blame(l, map, "a rule has a regex or literals");
        for (size_t i = 0; i < sizeof of_regex / sizeof of_regex[0] && !regex; i++)
                if (brick_yaml_get(map, of_regex[i]))
                        blame(l, brick_yaml_get(map, of_regex[i]), "this goes with a regex");
}

/* Checks the texts of one key of a rule's tests. */
static void check_texts(struct loader *l, const struct brick_yaml_node *list)
{
        for (size_t i = 0; i < list_size(list); i++)
                if (!brick_yaml_text(list_at(list, i)))
                        blame(l, list_at(list, i), "expected a text");
}

static void check_tests(struct loader *l, const struct brick_yaml_node *tests)
{
        if (!tests || !check_map(l, tests, tests_keys))
                return;
        check_texts(l, brick_yaml_get(tests, "match"));
        check_texts(l, brick_yaml_get(tests, "pass"));
}

static void read_rule(struct loader *l, const struct brick_yaml_node *map)
{
        static const char *const required[] = { "id", "category", "score" };
        struct rule *rule;

        if (!check_map(l, map, rule_keys))
                return;
        if (l->rules->n_rules == RULES_MAX) {
                blame(l, map, "more than %d rules", RULES_MAX);
                return;
        }
        rule = append(l, &l->rules->rules, &l->rules->n_rules, sizeof *rule);
        if (!rule)
                return;
        for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
                if (!brick_yaml_get(map, required[i]))
                        blame(l, map, "'%s' is missing", required[i]);
        if (brick_yaml_get(map, "id"))
                read_id(l, brick_yaml_get(map, "id"), rule);
        if (brick_yaml_get(map, "category"))
                read_category_of_rule(l, map, rule);
        if (brick_yaml_get(map, "score"))
                rule->score = read_number(l, brick_yaml_get(map, "score"));
        read_patterns(l, map, rule);
        check_tests(l, brick_yaml_get(map, "tests"));
}

static void read_rules(struct loader *l, const struct brick_yaml_node *list)
{
        if (brick_yaml_kind(list) != BRICK_YAML_LIST) {
                blame(l, list, "expected a list of rules");
                return;
        }
        for (size_t i = 0; i < brick_yaml_size(list); i++)
                read_rule(l, brick_yaml_at(list, i));
}

/* A path that is not absolute is that of a file beside the rules. */
static void read_model(struct loader *l, const struct brick_yaml_node *node)
{
        const char *text = read_text(l, node), *slash = strrchr(l->path, '/');
        int n = slash ? (int)(slash - l->path + 1) : 0;
        char *path;

        if (!text)
                return;
        if (asprintf(&path, "%.*s%s", text[0] == '/' ? 0 : n, l->path, text) < 0) {
                blame(l, NULL, "out of memory");
                return;
        }
        free(l->rules->model);
        l->rules->model = path;
}

static void read_file(struct loader *l, const struct brick_yaml_node *root)
{
        if (!check_map(l, root, file_keys))
                return;
        if (!says(brick_yaml_get(root, "version"), "1"))
                blame(l, brick_yaml_get(root, "version"), "a rule file says `version: 1`");
        if (brick_yaml_get(root, "model"))
                read_model(l, brick_yaml_get(root, "model"));
        if (brick_yaml_get(root, "categories"))
                read_categories(l, brick_yaml_get(root, "categories"));
        if (brick_yaml_get(root, "rules"))
                read_rules(l, brick_yaml_get(root, "rules"));
}

static void run_test(struct loader *l, size_t index, const struct brick_yaml_node *node,
                     enum rule_state wanted)
{
        const char *id = l->rules->rules[index].id, *text = brick_yaml_text(node);
        enum rule_state state;
        struct match match;
        void *memory;

        memory = malloc(match_size(l->rules, strlen(text)));
        if (!memory) {
                blame(l, NULL, "out of memory");
                return;
        }
        if (match_text(&match, l->rules, index, text, strlen(text), memory) == 0) {
                state = match.states[index];
                if (state == RULE_UNDECIDED)
                        blame(l, node, "rule '%s' takes too long on this", id);
                else if (state != wanted)
                        blame(l, node, "rule '%s' %s this", id,
                              wanted == RULE_HIT ? "does not match" : "matches");
        }
        free(memory);
}

static void run_tests(struct loader *l, size_t index, const struct brick_yaml_node *list,
                      enum rule_state wanted)
{
        for (size_t i = 0; i < list_size(list); i++)
                run_test(l, index, list_at(list, i), wanted);
}

/* Runs the tests of every rule in the file. */
static void test_rules(struct loader *l, size_t first, const struct brick_yaml_node *rules)
{
        for (size_t i = first; i < l->rules->n_rules; i++) {
                const struct brick_yaml_node *tests = brick_yaml_get(
                        brick_yaml_at(rules, i - first), "tests");

                run_tests(l, i, brick_yaml_get(tests, "match"), RULE_HIT);
                run_tests(l, i, brick_yaml_get(tests, "pass"), RULE_PASSED);
        }
}

static void find_always(struct loader *l, size_t first)
{
        for (size_t i = first; i < l->rules->n_rules; i++) {
                const struct rule *rule = &l->rules->rules[i];
                uint32_t *always;

                if (rule->needs || rule->n_regexes == 0)
                        continue;
                always = append(l, &l->rules->always, &l->rules->n_always, sizeof *always);
                if (always)
                        *always = (uint32_t)i;
        }
}

/* Words that say in which encoding a text is. */
static void add_encodings(struct loader *l)
{
        static const struct {
                const char *word;
                enum encoding encoding;
        } words[] = {
                { "vtaber", ENCODING_ROT13 },      { "cerivbhf", ENCODING_ROT13 },
                { "vafgehpgvba", ENCODING_ROT13 }, { "cebzcg", ENCODING_ROT13 },
                { "flfgrz", ENCODING_ROT13 },      { "sbetrg", ENCODING_ROT13 },
                { "qvfertneq", ENCODING_ROT13 },   { "cnffjbeq", ENCODING_ROT13 },
                { "erirny", ENCODING_ROT13 },      { "lbhe ", ENCODING_ROT13 },
                { " gur ", ENCODING_ROT13 },       { "erongi", ENCODING_REVERSED },
                { "suoiverp", ENCODING_REVERSED }, { "snoitcurtsni", ENCODING_REVERSED },
                { "tpmorp", ENCODING_REVERSED },   { "metsys", ENCODING_REVERSED },
                { "tegrof", ENCODING_REVERSED },   { "dragersid", ENCODING_REVERSED },
                { "drowssap", ENCODING_REVERSED }, { "laever", ENCODING_REVERSED },
                { " eht ", ENCODING_REVERSED },    { " ruoy", ENCODING_REVERSED },
        };

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                struct literal *literal = add_literal(l, NULL, words[i].word);

                if (!literal)
                        return;
                literal->kind = LITERAL_ENCODING;
                literal->owner = words[i].encoding;
        }
}

static void build_literals(struct loader *l)
{
        struct rules *rules = l->rules;

        rules->literals = literals_free(rules->literals);
        rules->literals = literals_new(rules->list, rules->n_list);
        if (!rules->literals)
                blame(l, NULL, "out of memory");
}

int rules_parse(struct rules *rules, const char *path, const char *bytes, size_t length,
                struct brick_yaml *yaml)
{
        struct loader l = { .rules = rules, .path = path, .yaml = yaml };
        const struct brick_yaml_node *root;
        size_t first = rules->n_rules;

        l.context = pcre2_compile_context_create(NULL);
        if (!l.context)
                return -ENOMEM;
        pcre2_set_max_pattern_length(l.context, REGEX_MAX_LENGTH);
        pcre2_set_parens_nest_limit(l.context, PARENTHESES_MAX);

        root = brick_yaml_parse(yaml, bytes, length);
        if (root)
                read_file(&l, root);
        if (brick_yaml_mistakes(yaml) == 0) {
                find_always(&l, first);
                if (first == 0)
                        add_encodings(&l);
                build_literals(&l);
        }
        if (brick_yaml_mistakes(yaml) == 0)
                test_rules(&l, first, brick_yaml_get(root, "rules"));
        pcre2_compile_context_free(l.context);
        return brick_yaml_mistakes(yaml) == 0 ? 0 : -EINVAL;
}

int rules_read(struct rules *rules, const char *path, struct brick_yaml *yaml)
{
        size_t length = 0;
        char *bytes;
        int r;

        bytes = file_read(path, RULES_FILE_MAX, &length);
        if (!bytes) {
                brick_yaml_blame(yaml, NULL, "%s",
                                 errno == EFBIG    ? "larger than 4 MiB"
                                 : errno == EINVAL ? "not a regular file"
                                                   : strerror(errno));
                return -EINVAL;
        }
        r = rules_parse(rules, path, bytes, length, yaml);
        free(bytes);
        return r;
}

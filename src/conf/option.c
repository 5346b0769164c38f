/* SPDX-License-Identifier: MIT */
#include "conf/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "conf/text.h"
#include "conf/value.h"
#include "conf/yaml.h"
#include "util/utf8.h"

#define QUOTED_MAX 40    /* bytes of a wrong value that a message repeats */
#define CHOICES_MAX 1024 /* bytes of the choices that a message lists */

/* The node, for "expected ..., got ...". */
static const char *describe(const struct node *node, char buffer[QUOTED_MAX + 8])
{
        size_t n;

        if (node->kind == NODE_LIST)
                return "a list";
        if (node->kind == NODE_MAP)
                return "a map";
        if (node_is_null(node))
                return "nothing";
        n = utf8_prefix(node->text, node->length, QUOTED_MAX);
        snprintf(buffer, QUOTED_MAX + 8, "\"%.*s%s\"", (int)n, node->text,
                 n < node->length ? "..." : "");
        return buffer;
}

static bool wrong(const struct node *node, const char *expected, struct diag *diag)
{
        char buffer[QUOTED_MAX + 8];

        diag_add(diag, node, "expected %s, got %s", expected, describe(node, buffer));
        return false;
}

/* Reports the result of a value_parse_*() function. */
static bool judge(int r, const struct node *node, const char *expected, struct diag *diag)
{
        if (r == -ERANGE)
                diag_add(diag, node, "too large");
        else if (r < 0)
                return wrong(node, expected, diag);
        return r >= 0;
}

/* "" for a list or a map: every value_parse_*() function refuses it. */
static const char *text_of(const struct node *node)
{
        return node->kind == NODE_SCALAR ? node->text : "";
}

bool option_int(const struct node *node, int64_t *ret, struct diag *diag)
{
        return judge(value_parse_int(text_of(node), ret), node, "a whole number", diag);
}

bool option_bool(const struct node *node, bool *ret, struct diag *diag)
{
        return judge(value_parse_bool(text_of(node), ret), node, "true or false", diag);
}

bool option_float(const struct node *node, double *ret, struct diag *diag)
{
        return judge(value_parse_float(text_of(node), ret), node, "a number", diag);
}

bool option_duration(const struct node *node, int64_t *ret, struct diag *diag)
{
        return judge(value_parse_duration(text_of(node), ret), node,
                     "a duration with its unit, such as 250ms, 3s, 5m or 1h", diag);
}

bool option_size(const struct node *node, int64_t *ret, struct diag *diag)
{
        return judge(value_parse_size(text_of(node), ret), node,
                     "a size, such as 64KiB, 4MiB or 4MB", diag);
}

static void report_range(const struct option_spec *spec, const struct node *node, struct diag *diag)
{
        char min[32], max[32];

        value_format(spec->type, spec->min, min, sizeof min);
        value_format(spec->type, spec->max, max, sizeof max);
        if (spec->max == INT64_MAX)
                diag_add(diag, node, "must be at least %s", min);
        else
                diag_add(diag, node, "must be from %s to %s", min, max);
}

static bool check_range(const struct option_spec *spec, const struct node *node, int64_t value,
                        struct diag *diag)
{
        if (spec->min >= spec->max || (value >= spec->min && value <= spec->max))
                return true;
        report_range(spec, node, diag);
        return false;
}

static bool check_bool(const struct node *node, struct diag *diag)
{
        bool value;

        return option_bool(node, &value, diag);
}

static bool check_float(const struct option_spec *spec, const struct node *node, struct diag *diag)
{
        double value = 0;

        if (!option_float(node, &value, diag))
                return false;
        if (spec->min >= spec->max || (value >= (double)spec->min && value <= (double)spec->max))
                return true;
        report_range(spec, node, diag);
        return false;
}

static bool is_choice(const struct option_spec *spec, const struct node *node)
{
        return spec->choices && node->kind == NODE_SCALAR &&
               value_parse_choice(node->text, spec->choices) >= 0;
}

/* "one|two|three" as "one, two or three". */
static void list_choices(const char *choices, char *buffer, size_t size)
{
        size_t used = 0;
        int r;

        while (used < size) {
                size_t n = strcspn(choices, "|");
                const char *next = choices + n;
                const char *glue = *next == '\0' ? "" : strchr(next + 1, '|') ? ", " : " or ";

                r = snprintf(buffer + used, size - used, "%.*s%s", (int)n, choices, glue);
                if (r < 0 || *next == '\0')
                        return;
                used += (size_t)r;
                choices = next + 1;
        }
}

static bool check_int(const struct option_spec *spec, const struct node *node, struct diag *diag)
{
        char expected[CHOICES_MAX];
        int64_t value = 0;
        int n;

        if (is_choice(spec, node))
                return true;
        if (spec->choices && value_parse_int(text_of(node), &value) == -EINVAL) {
                n = snprintf(expected, sizeof expected, "a whole number%s",
                             strchr(spec->choices, '|') ? ", " : " or ");
                list_choices(spec->choices, expected + n, sizeof expected - (size_t)n);
                return wrong(node, expected, diag);
        }
        return option_int(node, &value, diag) && check_range(spec, node, value, diag);
}

static bool check_duration(const struct option_spec *spec, const struct node *node,
                           struct diag *diag)
{
        int64_t value = 0;

        return option_duration(node, &value, diag) && check_range(spec, node, value, diag);
}

static bool check_size(const struct option_spec *spec, const struct node *node, struct diag *diag)
{
        int64_t value = 0;

        return option_size(node, &value, diag) && check_range(spec, node, value, diag);
}

static bool check_enum(const struct option_spec *spec, const struct node *node, struct diag *diag)
{
        char expected[CHOICES_MAX] = "";

        if (is_choice(spec, node))
                return true;
        list_choices(spec->choices ? spec->choices : "", expected, sizeof expected);
        return wrong(node, expected, diag);
}

static bool check_string(struct document *doc, const struct option_spec *spec,
                         const struct node *node, struct diag *diag)
{
        const regex_t *regex;

        if (node->kind != NODE_SCALAR)
                return wrong(node, spec->expected ? spec->expected : "a string", diag);
        if (!spec->pattern)
                return true;
        regex = document_regex(doc, spec->pattern);
        if (!regex) {
                diag_add(diag, node, "out of memory");
                return false;
        }
        return regexec(regex, node->text, 0, NULL, 0) == 0 || wrong(node, spec->expected, diag);
}

static bool check_value(struct document *doc, const struct option_spec *spec,
                        const struct node *node, struct diag *diag)
{
        switch (spec->type) {
        case OPTION_INT:
                return check_int(spec, node, diag);
        case OPTION_FLOAT:
                return check_float(spec, node, diag);
        case OPTION_BOOL:
                return check_bool(node, diag);
        case OPTION_DURATION:
                return check_duration(spec, node, diag);
        case OPTION_SIZE:
                return check_size(spec, node, diag);
        case OPTION_ENUM:
                return check_enum(spec, node, diag);
        case OPTION_SECRET:
                return option_secret_check(node, diag);
        case OPTION_STRING:
        case OPTION_BRICK:
        case OPTION_PATH:
                return check_string(doc, spec, node, diag);
        case OPTION_LIST:
                return node->kind == NODE_LIST || wrong(node, "a list", diag);
        case OPTION_MAP:
                return node->kind == NODE_MAP || wrong(node, "a map", diag);
        }
        return false;
}

static int complete(struct document *doc, const struct option_spec *table, struct node *map,
                    struct diag *diag);
static int take_value(struct document *doc, const struct option_spec *spec, struct node *value,
                      struct diag *diag);

/* Spells a choice as in the table, so that it can be compared with strcmp(). */
static int spell_choice(struct document *doc, const struct option_spec *spec, struct node *value)
{
        const char *choice;

        if (!is_choice(spec, value))
                return 0;
        choice = value_choice(spec->choices, value_parse_choice(value->text, spec->choices),
                              &value->length);
        value->text = document_strndup(doc, choice, value->length);
        return value->text ? 0 : -ENOMEM;
}

/* Checks and completes one value of an option that is present: the only one, or one of a list. 0 or
 * -ENOMEM. */
static int take_one(struct document *doc, const struct option_spec *spec, struct node *value,
                    struct diag *diag)
{
        value->spec = spec;
        if (value->bad)
                return 0;

        if (node_is_null(value)) {
                if (spec->flags & OPTION_NULLABLE)
                        return 0;
                diag_add(diag, value, "the value is missing");
                value->bad = true;
                return 0;
        }
        value->bad = !check_value(doc, spec, value, diag);
        if (value->bad)
                return 0;
        if (spec->type == OPTION_MAP && spec->table)
                return complete(doc, spec->table, value, diag);
        return spell_choice(doc, spec, value);
}

static bool check_count(const struct option_spec *spec, const struct node *list, struct diag *diag)
{
        int64_t n = (int64_t)list->n_children;

        if (!spec->table || spec->min >= spec->max)
                return true;
        if (n < spec->min)
                diag_add(diag, list, "needs at least %" PRId64 " %s", spec->min,
                         spec->min == 1 ? "entry" : "entries");
        if (n > spec->max)
                diag_add(diag, list, "has %" PRId64 " entries; the limit is %" PRId64, n,
                         spec->max);
        return n >= spec->min && n <= spec->max;
}

/* Whether the option takes this value, which is not a list, for a list of one. */
static bool counts_as_list(const struct option_spec *spec, const struct node *node)
{
        if (spec->flags & OPTION_REPEATED)
                return spec->type != OPTION_MAP && node->kind != NODE_MAP;
        return spec->flags & OPTION_ONE_OR_MORE;
}

/* Checks the values of a list, or a single value that counts as a list of one. */
static int take_list(struct document *doc, const struct option_spec *spec, struct node *list,
                     struct diag *diag)
{
        const struct node given = *list;
        const struct node *const *items = given.children;
        const struct node *single = &given;
        struct node *item;
        int r;

        list->spec = spec;
        if (given.bad)
                return 0;
        if (given.kind != NODE_LIST) {
                if (!counts_as_list(spec, &given)) {
                        list->bad = !wrong(&given, "a list", diag);
                        return 0;
                }
                items = &single;
                list->kind = NODE_LIST;
                list->n_children = 1;
        }

        list->bad = !check_count(spec, list, diag);
        if (list->bad)
                return 0;
        list->children = document_alloc(doc, list->n_children * sizeof list->children[0]);
        if (!list->children)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                item = document_copy(doc, items[i]);
                if (!item)
                        return -ENOMEM;
                item->parent = list;
                item->key = NULL;
                item->index = i;
                list->children[i] = item;
                r = spec->flags & OPTION_REPEATED ? take_one(doc, spec, item, diag)
                                                  : take_value(doc, spec->table, item, diag);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_value(struct document *doc, const struct option_spec *spec, struct node *value,
                      struct diag *diag)
{
        if (spec->flags & OPTION_REPEATED || (spec->type == OPTION_LIST && spec->table))
                return take_list(doc, spec, value, diag);
        return take_one(doc, spec, value, diag);
}

static int make_fallback(struct document *doc, const struct option_spec *spec,
                         const struct node *place, struct diag *diag, struct node **ret)
{
        struct node *node;
        int r;

        if (strchr("[{", spec->fallback[0]) && spec->fallback[0] != '\0') {
                r = yaml_parse(doc, spec->fallback, strlen(spec->fallback), NULL, &node);
                if (r == -EINVAL)
                        diag_add(diag, place, "the fallback %s is not YAML", spec->fallback);
                if (r < 0)
                        return r;
                node->line = place->line;
                node->column = place->column;
                node->key = place->key;
                node->key_line = place->key_line;
                node->key_column = place->key_column;
        } else {
                node = document_node(doc, place, NODE_SCALAR);
                if (!node)
                        return -ENOMEM;
                node->text = spec->fallback;
                node->length = strlen(spec->fallback);
                node->plain = spec->type == OPTION_INT || spec->type == OPTION_BOOL ||
                              spec->type == OPTION_FLOAT;
                r = text_expand(doc, node, diag);
                if (r < 0)
                        return r;
        }
        node->fallback = true;
        *ret = node;
        return 0;
}

static bool is_known(const struct option_spec *table, const char *key)
{
        while (table->name && strcmp(table->name, key) != 0)
                table++;
        return table->name;
}

/* The option that an unknown key is likely to mean. NULL: none. */
static const char *find_meant(const struct option_spec *table, const char *key)
{
        struct nearest nearest = nearest_to(key);

        for (; table->name; table++)
                nearest_offer(&nearest, table->name);
        return nearest.best;
}

/* An option whose name is misspelt is not missing as well: one mistake is one line. */
static bool is_misspelt(const struct option_spec *table, const struct option_spec *spec,
                        const struct node *given, const struct diag *diag)
{
        for (size_t i = 0; !diag_is_full(diag) && i < given->n_children; i++) {
                const char *key = given->children[i]->key;
                const char *meant = is_known(table, key) ? NULL : find_meant(table, key);

                if (meant && strcmp(meant, spec->name) == 0)
                        return true;
        }
        return false;
}

/* The default of an option that the file does not set. *ret is NULL if there is none. */
static int take_missing(struct document *doc, const struct option_spec *spec,
                        const struct node *map, struct diag *diag, struct node **ret)
{
        const struct node place = { .kind = NODE_SCALAR,
                                    .line = map->line,
                                    .column = map->column,
                                    .parent = map,
                                    .key = spec->name,
                                    .key_line = map->line,
                                    .key_column = map->column };
        int r;

        *ret = NULL;
        if (spec->flags & OPTION_REQUIRED) {
                diag_add(diag, &place, "required");
                return 0;
        }
        if (!spec->fallback)
                return 0;
        r = make_fallback(doc, spec, &place, diag, ret);
        return r == -EINVAL ? 0 : r;
}

static bool is_missing(const struct option_spec *spec, const struct node *given)
{
        if (!given)
                return true;
        /* A key whose entries are all commented out has the value null. */
        return node_is_null(given) && (spec->type == OPTION_MAP || spec->type == OPTION_LIST ||
                                       (spec->flags & OPTION_REPEATED));
}

static int take_option(struct document *doc, const struct option_spec *spec,
                       const struct node *given, struct node *map, struct diag *diag)
{
        struct node *value = NULL;
        int r;

        if (is_missing(spec, given)) {
                r = take_missing(doc, spec, map, diag, &value);
                if (r < 0)
                        return r;
                if (!value)
                        return 0;
        } else {
                value = document_copy(doc, given);
                if (!value)
                        return -ENOMEM;
        }
        value->parent = map;
        map->children[map->n_children++] = value;
        return take_value(doc, spec, value, diag);
}

static void check_keys(const struct option_spec *table, const struct node *map, struct diag *diag)
{
        for (size_t i = 0; i < map->n_children; i++) {
                const struct node *child = map->children[i];
                const char *meant;

                if (is_known(table, child->key))
                        continue;
                meant = diag_is_full(diag) ? NULL : find_meant(table, child->key);
                if (meant)
                        diag_add_key(diag, child, "unknown key; did you mean \"%s\"?", meant);
                else
                        diag_add_key(diag, child, "unknown key");
        }
}

/* Replaces the children of a map by the completed options of the table. */
static int complete(struct document *doc, const struct option_spec *table, struct node *map,
                    struct diag *diag)
{
        const struct node given = *map;
        size_t n = 0;
        int r;

        check_keys(table, &given, diag);
        while (table[n].name)
                n++;
        map->n_children = 0;
        map->children = document_alloc(doc, n * sizeof map->children[0]);
        if (!map->children)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const struct node *value = node_get(&given, table[i].name);

                if (!value && table[i].flags & OPTION_REQUIRED &&
                    is_misspelt(table, &table[i], &given, diag))
                        continue;
                r = take_option(doc, &table[i], value, map, diag);
                if (r < 0)
                        return r;
        }
        return 0;
}

struct node *option_check(struct document *doc, const struct option_spec *table,
                          const struct node *map, struct diag *diag)
{
        struct node *full;

        full = document_copy(doc, map);
        if (!full)
                return NULL;
        if (node_is_null(full)) {
                full->kind = NODE_MAP;
                full->n_children = 0;
        }
        if (full->kind != NODE_MAP) {
                full->bad = !wrong(full, "a map", diag);
                return full;
        }
        return complete(doc, table, full, diag) < 0 ? NULL : full;
}

void option_put(const struct node *map, struct node *child)
{
        struct node *full = (struct node *)map;
        size_t i = 0;

        child->spec = map->spec->table;
        while (strcmp(child->spec->name, child->key) != 0)
                child->spec++;
        while (i < full->n_children && full->children[i]->spec < child->spec)
                i++;
        if (i == full->n_children || full->children[i]->spec != child->spec) {
                /* complete() has allocated room for every key of the table. */
                memmove(full->children + i + 1, full->children + i,
                        (full->n_children - i) * sizeof full->children[0]);
                full->n_children++;
        }
        full->children[i] = child;
}

/* SPDX-License-Identifier: MIT */

/*
 * test-conf-print SCHEMA PAGE FILE...: what is printed from the tables is what the source tree has:
 * the JSON Schema, the manual page of the configuration, and configurations that may be used as
 * they stand.
 */

#undef NDEBUG
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "conf/value.h"
#include "util/cleanup.h"

static struct conf *parse(const char *name, const char *text)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct conf *conf = NULL;

        assert(diag_new(&diag, name, text, strlen(text)) == 0);
        if (conf_parse(&conf, name, text, strlen(text), diag) != 0)
                diag_print(diag, stderr);
        assert(conf);
        return conf;
}

static char *print(const struct conf *conf)
{
        char *text = NULL;
        size_t length;
        FILE *f;

        f = open_memstream(&text, &length);
        assert(f);
        conf_print(conf, f);
        assert(fclose(f) == 0);
        return text;
}

static char *read_file(const char *name)
{
        char *bytes = NULL, *text;
        size_t length = 0;

        assert(conf_read(name, &bytes, &length) == 0);
        text = strndup(bytes, length);
        free(bytes);
        assert(text);
        return text;
}

/* What is printed is read back, and printed the same. */
static void check_round_trip(const char *name, const char *text)
{
        _cleanup_(conf_freep) struct conf *conf = parse(name, text), *again = NULL;
        _cleanup_free_ char *printed = print(conf), *reprinted = NULL;

        again = parse(name, printed);
        reprinted = print(again);
        if (strcmp(printed, reprinted) != 0)
                fprintf(stderr, "--- first\n%s\n--- then\n%s\n", printed, reprinted);
        assert(strcmp(printed, reprinted) == 0);
        assert(again->n_bricks == conf->n_bricks && again->n_ports == conf->n_ports);
}

static void test_print(void)
{
        static const char text[] =
                "ports:\n"
                "  - listen: \"127.0.0.1:0\"\n"
                "bricks:\n"
                "  - name: a\n"
                "    module: b\n"
                "    options:\n"
                "      plain: [1, 1.5, true, null, ~, text]\n"
                "      quoted: ['1', \"1.5\", 'true', 'null', '', ' a ', off]\n"
                "      typed: ['no', '0x1f', '2020-01-01', '1:30', '.5', '=', '<<']\n"
                "      dollars: [$$, '$${HOME}', a$b, '$', '${T_DOLLARS}']\n"
                "      marks: ['# a', 'a: b', '- a', '[a', '*a', '&a', '!a', '%a', '@']\n"
                "      lines: \"a\\nb\\n\\tc\\r\\x07\\u00e9\\u4e2d\\U0001f642\"\n"
                "      ? |\n"
                "        a key\n"
                "      : |\n"
                "        text\n"
                "      empty: [{}, []]\n"
                "    match: { model_id: 5 }\n"
                "workers: auto\n"
                "log: { access: off }\n";
        static const char expected[] = "plain:\n"
                                       "    - 1\n"
                                       "    - 1.5\n"
                                       "    - true\n"
                                       "    - null\n"
                                       "    - ~\n"
                                       "    - text\n"
                                       "    quoted:\n"
                                       "    - \"1\"\n"
                                       "    - \"1.5\"\n"
                                       "    - \"true\"\n"
                                       "    - \"null\"\n"
                                       "    - \"\"\n"
                                       "    - ' a '\n"
                                       "    - off\n"
                                       "    typed:\n"
                                       "    - \"no\"\n"
                                       "    - \"0x1f\"\n"
                                       "    - \"2020-01-01\"\n"
                                       "    - \"1:30\"\n"
                                       "    - \".5\"\n"
                                       "    - \"=\"\n"
                                       "    - \"<<\"\n"
                                       "    dollars:\n"
                                       "    - $\n"
                                       "    - $${HOME}\n"
                                       "    - a$b\n"
                                       "    - $\n"
                                       "    - $$$${x}$\n";
        _cleanup_(conf_freep) struct conf *conf = NULL, *again = NULL;
        _cleanup_free_ char *printed = NULL;
        const struct node *lines;

        check_round_trip("t", text);
        conf = parse("t", text);
        printed = print(conf);
        assert(strstr(printed, expected));
        assert(strstr(printed, "access: \"off\"\n"));
        assert(strstr(printed, "workers: auto\n"));
        assert(strstr(printed, "  bricks:\n  - a\n"));
        assert(strstr(printed, "  - \"5\"\n"));

        again = parse("t", printed);
        lines = node_get(again->bricks[0].options, "lines");
        assert(strcmp(lines->text, "a\nb\n\tc\r\a\u00e9\u4e2d\U0001f642") == 0);
        lines = node_get(again->bricks[0].options, "a key\n");
        assert(lines && strcmp(lines->text, "text\n") == 0);
}

/* Options that a module has seen are printed with their fallbacks. */
static void test_print_checked(void)
{
        static const struct option_spec table[] = {
                { .name = "count", .type = OPTION_INT, .fallback = "3" },
                { .name = "items", .type = OPTION_LIST, .fallback = "[a, {b: 1}]" },
                { .name = "text", .type = OPTION_STRING, .fallback = "" },
                { .name = "key", .type = OPTION_SECRET },
                {},
        };
        static const char text[] =
                "ports: [{ listen: \"127.0.0.1:0\" }]\n"
                "bricks:\n"
                "  - { name: a, module: b }\n"
                "  - { name: c, module: b, options: { key: { env: T_SECRET } } }\n";
        _cleanup_(conf_freep) struct conf *conf = parse("t", text);
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_free_ char *printed = NULL;

        assert(diag_new(&diag, "t", text, strlen(text)) == 0);
        for (size_t i = 0; i < 2; i++)
                assert(conf_brick_options(conf, &conf->bricks[i], table, diag));
        printed = print(conf);
        assert(strstr(printed, "  options:\n"
                               "    count: 3\n"
                               "    items:\n"
                               "    - a\n"
                               "    - b: 1\n"
                               "    text: \"\"\n"
                               "  limits:\n"));
        assert(strstr(printed, "    key:\n      env: T_SECRET\n"));
        check_round_trip("t", printed);
}

static void test_schema(const char *name)
{
        _cleanup_free_ char *expected = read_file(name), *found = NULL;
        size_t length;
        FILE *f;

        f = open_memstream(&found, &length);
        assert(f);
        assert(conf_print_schema(f) == 0);
        assert(fclose(f) == 0);
        if (strcmp(found, expected) != 0)
                fprintf(stderr, "%s: not what brickd --print-schema prints\n", name);
        assert(strcmp(found, expected) == 0);
}

/* Between "# TITLE" and the next such line. */
static char *find_section(const char *page, const char *title)
{
        char heading[64];
        const char *start, *end;
        char *section;

        snprintf(heading, sizeof heading, "\n# %s\n", title);
        for (char *s = heading; *s; s++)
                *s = (char)toupper((unsigned char)*s);
        start = strstr(page, heading);
        if (!start)
                fprintf(stderr, "the page has no section %s\n", title);
        assert(start);
        end = strstr(start + 1, "\n# ");
        section = end ? strndup(start, (size_t)(end - start)) : strdup(start);
        assert(section);
        return section;
}

/* The line on which the page tells of an option, the next after *at. */
static void check_line(const struct option_spec *spec, const char **at, unsigned depth)
{
        char start[80], min[32], max[32], range[80] = "", fallback[80] = "";
        _cleanup_free_ char *line = NULL;
        const char *found;

        snprintf(start, sizeof start, "\n%.*s*%s* (", (int)depth, "\t\t\t\t", spec->name);
        found = strstr(*at, start);
        if (!found)
                fprintf(stderr, "the page does not tell of %s, or not in its place\n", spec->name);
        assert(found);
        *at = found + 1;

        line = strndup(*at, strcspn(*at, "\n"));
        assert(line);
        value_format(spec->type, spec->min, min, sizeof min);
        value_format(spec->type, spec->max, max, sizeof max);
        if (spec->min < spec->max && spec->min == 0 && spec->type == OPTION_MAP)
                snprintf(range, sizeof range, "at most %s", max);
        else if (spec->min < spec->max)
                snprintf(range, sizeof range, "%s to %s", min, max);
        if (spec->fallback && spec->type != OPTION_MAP && !(spec->flags & OPTION_LOCAL))
                snprintf(fallback, sizeof fallback, "default: *%s*", spec->fallback);
        if (!strstr(line, range) || !strstr(line, fallback) ||
            ((spec->flags & OPTION_REQUIRED) && !strstr(line, "required")))
                fprintf(stderr, "%s: %s, %s\n", line, range, fallback);
        assert(strstr(line, range) && strstr(line, fallback));
        assert(!(spec->flags & OPTION_REQUIRED) || strstr(line, "required"));
}

/* Tables of the top level have sections of their own, tables in these are indented. */
static void check_page(const char *page, const struct option_spec *table, const char *title)
{
        _cleanup_free_ char *section = find_section(page, title);
        const char *at = section;

        for (const struct option_spec *spec = table; spec->name; spec++) {
                check_line(spec, &at, 0);
                if (spec->table && table == conf_options)
                        check_page(page, spec->table, spec->name);
                else if (spec->table)
                        for (const struct option_spec *sub = spec->table; sub->name; sub++)
                                check_line(sub, &at, 1);
        }
}

int main(int argc, char **argv)
{
        _cleanup_free_ char *page = NULL;

        assert(argc > 3);
        assert(setenv("T_DOLLARS", "$${x}$", 1) == 0);
        test_print();
        test_print_checked();
        test_schema(argv[1]);
        page = read_file(argv[2]);
        check_page(page, conf_options, "keys");
        for (int i = 3; i < argc; i++) {
                _cleanup_free_ char *text = read_file(argv[i]);

                check_round_trip(argv[i], text);
        }
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf-expect.h"
#include "conf/document.h"
#include "conf/node.h"
#include "conf/yaml.h"

/* The text of a configuration: variables, aliases, limits, and how mistakes are printed. */

static void test_variables(void)
{
        static const struct {
                const char *text;
                const char *value;
        } cases[] = {
                { "${T_WORD}", "word" },
                { "'${T_WORD}'", "word" },
                { "a-${T_WORD}-${T_WORD}", "a-word-word" },
                { "${T_UNSET:-fallback}", "fallback" },
                { "${T_EMPTY:-fallback}", "fallback" },
                { "${T_UNSET:-}", "" },
                { "${T_EMPTY}", "" },
                { "a$b", "a$b" },
                { "a$", "a$" },
                { "$$", "$" },
                { "$${T_WORD}", "${T_WORD}" },
                { "$$$${T_WORD}", "$${T_WORD}" },
                { "$$${T_WORD}", "$word" },
                { "\"${T_DOLLAR}\"", "${T_WORD}" },
                { "${T_EVIL}", "1\nlog: { level: debug }" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conf_freep) struct conf *conf = NULL;
                const struct node *node;
                char text[256];

                snprintf(text, sizeof text,
                         PORT "bricks:\n  - name: a\n    module: b\n    options:\n      x: %s\n",
                         cases[i].text);
                conf = parse_good(text);
                node = node_get(conf->bricks[0].options, "x");
                assert(strcmp(node->text, cases[i].value) == 0);
                assert(node->length == strlen(node->text));
        }
}

static void test_aliases(void)
{
        _cleanup_(conf_freep) struct conf *conf = NULL;
        char path[64];

        conf = parse_good(
                PORT "bricks:\n"
                     "  - { name: a, module: m, limits: &l { queue: 7 } }\n"
                     "  - { name: b, module: m, limits: *l, options: { x: &x [1, 2], y: *x } }\n");
        assert(conf->bricks[1].limits.queue == 7);
        node_path(node_get(conf->bricks[1].options, "y")->children[1], path, sizeof path);
        assert(strcmp(path, "bricks[1].options.y[1]") == 0);
}

/* Repeats `unit` n times after `head`. */
static char *repeat(const char *head, const char *unit, size_t n, size_t *ret_length)
{
        char *text = NULL;
        FILE *f;

        f = open_memstream(&text, ret_length);
        assert(f);
        fputs(head, f);
        for (size_t i = 0; i < n; i++)
                fputs(unit, f);
        assert(fclose(f) == 0);
        return text;
}

static void expect_repeated(const char *head, const char *unit, size_t n, const char *expected)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        text = repeat(head, unit, n, &length);
        expect(text, length, expected);
}

static void test_bounds(void)
{
        expect_repeated(PORT "bricks: ", "[", 100, "2:72: nested deeper than 64 levels\n");
        expect_repeated(PORT "bricks: ", "[", 1000000, "2:72: nested deeper than 64 levels\n");
        expect_repeated(PORT "bricks:\n", "- ", 100, "3:127: nested deeper than 64 levels\n");
        expect_repeated(PORT "x: [", "a,", 200000,
                        "2:199995: more than 100000 values; every alias counts as all values of "
                        "its anchor\n");
        expect_repeated(PORT "x:\n", "- &a b\n", 2000, "1003:3: more than 1000 anchors\n");
        expect_repeated("ports:\n", "- listen: \"127.0.0.1:0\"\n", 65,
                        "2:1: ports: has 65 entries; the limit is 64\n");
        expect_repeated(PORT "bricks:\n", "- { name: a, module: a }\n", 1025,
                        "3:1: bricks: has 1025 entries; the limit is 1024\n");

        /* every level is ten times the one before */
        expect(PORT "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
                    "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
                    "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
                    "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n"
                    "f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n",
               strlen(PORT) + 37 + 5 * 47,
               "6:36: more than 100000 values; every alias counts as all values of its anchor\n");
}

/* Ten megabytes that mean little. */
static void test_large(void)
{
        _cleanup_free_ char *comments = NULL, *scalar = NULL, *huge = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL, *other = NULL;
        size_t length;

        comments = repeat(PORT, "# nothing to see here\n", 500000, &length);
        conf = parse_good(comments);
        scalar = repeat(PORT "bricks: [{ name: a, module: b, options: { x: \"", "12345678", 1300000,
                        &length);
        scalar = realloc(scalar, length + 16);
        assert(scalar);
        strcpy(scalar + length, "\" } }]\n");
        other = parse_good(scalar);
        assert(node_get(other->bricks[0].options, "x")->length == 1300000 * 8);

        huge = repeat(PORT, "# 3456789abcdef\n", 1024 * 1024, &length);
        expect(huge, length, " larger than 16 MiB\n");
}

static void test_many_mistakes(void)
{
        _cleanup_free_ char *text = NULL, *found = NULL;
        struct conf *conf = NULL;
        size_t length;
        char *line;

        text = repeat("b: 1\na: 1\n", "a: 1\n", 99, &length);
        assert(parse(text, length, &conf, &found) == -EINVAL);
        line = found;
        /* The missing ports, both unknown keys, and each duplicate as an unknown key, too. */
        for (unsigned i = 0; i < DIAG_SHOWN_MAX; i++) {
                assert(line);
                assert(i < 2 || strtoul(line, NULL, 10) == (i - 2) / 2 + 2 ||
                       strtoul(line, NULL, 10) == (i - 2) / 2 + 3);
                line = strchr(line, '\n');
                line += line != NULL;
        }
        assert(line && strncmp(line, "and ", 4) == 0);
}

static void test_quotes(void)
{
        static const struct {
                const char *text;
                const char *expected;
        } cases[] = {
                { PORT "workers: 0\n", "t:2:10: workers: must be from 1 to 256\n"
                                       "    2 | workers: 0\n"
                                       "      |          ^" },
                { "ports:\t[{\tlisten:\t5\t}]\n",
                  "t:1:19: ports[0].listen: expected host:port, unix:/path or systemd:NAME, such "
                  "as \"127.0.0.1:50051\"\n"
                  "    1 | ports: [{ listen: 5 }]\n"
                  "      |                   ^" },
                { PORT "\"\xe4\xb8\xad\xe6\x96\x87\": 1\r\n",
                  "t:2:1: \xe4\xb8\xad\xe6\x96\x87: unknown key\n"
                  "    2 | \"\xe4\xb8\xad\xe6\x96\x87\": 1\n"
                  "      | ^" },
                { PORT "log: { \"\xe4\xb8\xad\xe6\x96\x87\": 1, x: 1 }\r\n",
                  "t:2:8: log.\xe4\xb8\xad\xe6\x96\x87: unknown key\n"
                  "    2 | log: { \"\xe4\xb8\xad\xe6\x96\x87\": 1, x: 1 }\n"
                  "      |        ^\n"
                  "t:2:17: log.x: unknown key\n"
                  "    2 | log: { \"\xe4\xb8\xad\xe6\x96\x87\": 1, x: 1 }\n"
                  "      |                   ^" },
                { PORT "log: \"\x1b[31m\"\n", "t:2:7: character U+001B is not allowed here\n"
                                              "    2 | log: \"?[31m\"\n"
                                              "      |       ^" },
                { PORT "log: \"\xff\"\n", "t:2:7: not UTF-8: byte 0xff\n"
                                          "    2 | log: \"\xef\xbf\xbd\"\n"
                                          "      |       ^" },
                { PORT "\"\\e[31m\\n\": 1\n", "t:2:1: ?[31m?: unknown key\n"
                                              "    2 | \"\\e[31m\\n\": 1\n"
                                              "      | ^" },
                { "", "t:1:1: ports: required" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(diag_freep) struct diag *diag = NULL;
                _cleanup_free_ char *found = NULL;
                struct conf *conf = NULL;
                size_t length;
                bool same;
                FILE *f;

                assert(diag_new(&diag, "t", cases[i].text, strlen(cases[i].text)) == 0);
                assert(conf_parse(&conf, "t", cases[i].text, strlen(cases[i].text), diag) ==
                       -EINVAL);
                f = open_memstream(&found, &length);
                assert(f);
                diag_print(diag, f);
                assert(fclose(f) == 0 && found && length > 0 && found[length - 1] == '\n');
                found[length - 1] = '\0';
                same = strcmp(found, cases[i].expected) == 0;
                if (!same)
                        fprintf(stderr, "--- expected\n%s\n--- found\n%s\n", cases[i].expected,
                                found);
                assert(same);
        }
}

/* However long the line, what is shown of it fits, and the caret is below the mistake. */
static void test_long_line(void)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_free_ char *text = NULL;
        const char *line, *caret;
        char mark[16];
        size_t length;

        text = repeat("", "0123456789", 100000, &length);
        assert(diag_new(&diag, "t", text, length) == 0);
        for (unsigned column = 1; column < 1000; column++) {
                diag_add_at(diag, 1, column, "x");
                if (column % 37 > 0)
                        continue;
                assert(diag_text(diag, 0));
        }
        diag = diag_free(diag);

        for (unsigned column = 1; column < 500; column += 7) {
                assert(diag_new(&diag, "t", text, length) == 0);
                diag_add_at(diag, 1, column, "x");
                line = strstr(diag_text(diag, 0), "\n    1 | ");
                assert(line);
                line += 9;
                caret = strstr(line, "\n      | ");
                assert(caret && caret - line < 120);
                caret += 9;
                snprintf(mark, sizeof mark, "%u", (column - 1) % 10);
                assert(caret[strspn(caret, " ")] == '^' && caret[strspn(caret, " ") + 1] == '\0');
                assert(line[strspn(caret, " ")] == mark[0]);
                diag = diag_free(diag);
        }
}

static void test_diag(void)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;

        assert(diag_new(&diag, "file", "a\nsecret\n", 9) == 0);
        assert(!diag_text(diag, 0) && diag_count(diag) == 0 && diag_line(diag, 0) == 0);
        diag_add_at(diag, 2, 1, "second");
        assert(strstr(diag_text(diag, 0), "secret"));
        diag_add(diag, NULL, "%s", "whole");
        diag_hide_line(diag, 2);
        diag_add_at(diag, 1, 1, "first\nof all");
        diag_add_at(diag, 99, 1, "behind the end");
        assert(diag_count(diag) == 4 && strcmp(diag_name(diag), "file") == 0);
        assert(strcmp(diag_text(diag, 0), "file: whole") == 0 && diag_line(diag, 0) == 0);
        assert(strcmp(diag_text(diag, 1), "file:1:1: first?of all\n    1 | a\n      | ^") == 0);
        assert(strcmp(diag_text(diag, 2), "file:2:1: second") == 0 && diag_line(diag, 2) == 2);
        assert(strcmp(diag_text(diag, 3), "file:99:1: behind the end") == 0);

        diag_add(NULL, NULL, "ignored");
        diag_add_at(NULL, 1, 1, "ignored");
        diag_hide_line(NULL, 1);
}

/* libyaml would compare each directive with all before it, for minutes. */
static void test_directives(void)
{
        static const char head[] = "%TAG !a! tag:x\n---\nports: []\n";
        enum { N = 400000 };
        _cleanup_free_ char *text = NULL;
        _cleanup_(document_freep) struct document *doc = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct node *root;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert(f);
        for (int i = 0; i < N; i++)
                fprintf(f, "%%TAG !t%d! tag:x%s", i, i % 2 ? "\r" : "\xe2\x80\xa8");
        fputs("---\nports: []\n", f);
        assert(fclose(f) == 0);
        assert(document_new(&doc) == 0);
        assert(diag_new(&diag, "f", text, size) == 0);
        assert(yaml_parse(doc, text, size, diag, &root) == -EINVAL);
        assert(strstr(diag_text(diag, 0), "more than 100 lines begin with %TAG"));
        assert(yaml_parse(doc, head, strlen(head), diag, &root) == 0);
}

/* Every alias is compared with every anchor. */
static void test_long_anchor(void)
{
        char text[256];
        _cleanup_(document_freep) struct document *doc = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct node *root;

        (void)snprintf(text, sizeof text, "a: &%064d 1\nb: *%064d\nc: &%065d 1\n", 0, 0, 0);
        assert(document_new(&doc) == 0);
        assert(diag_new(&diag, "f", text, strlen(text)) == 0);
        assert(yaml_parse(doc, text, strlen(text), diag, &root) == -EINVAL);
        assert(strstr(diag_text(diag, 0), "f:3:4: the name of an anchor is longer than 64 bytes"));
}

/* A long text that stands for many: whoever looks at each of them would look for minutes. */
static void test_long_alias(void)
{
        enum { LONG = 8 << 20 };
        _cleanup_free_ char *name = malloc(LONG + 1);

        assert(name);
        memset(name, 'k', LONG);
        name[LONG] = '\0';
        for (int key = 0; key <= 1; key++) {
                _cleanup_(document_freep) struct document *doc = NULL;
                _cleanup_(diag_freep) struct diag *diag = NULL;
                _cleanup_free_ char *text = NULL;
                struct node *root;

                assert(asprintf(&text, "a: &x %s%s%s\nb: [*x, *x, *x, *x, *x]\n", key ? "{ ? " : "",
                                name, key ? " : 1 }" : "") > 0);
                assert(document_new(&doc) == 0);
                assert(diag_new(&diag, "f", text, strlen(text)) == 0);
                assert(yaml_parse(doc, text, strlen(text), diag, &root) == -EINVAL);
                assert(strstr(diag_text(diag, 0), "f:2:"));
                assert(strstr(diag_text(diag, 0), "more than 32 MiB of text"));
        }
}

int main(void)
{
        assert(setenv("T_WORD", "word", 1) == 0);
        assert(setenv("T_EMPTY", "", 1) == 0);
        assert(setenv("T_DOLLAR", "${T_WORD}", 1) == 0);
        assert(setenv("T_BINARY", "\xff", 1) == 0);
        assert(setenv("T_EVIL", "1\nlog: { level: debug }", 1) == 0);
        assert(unsetenv("T_UNSET") == 0);

        test_variables();
        test_aliases();
        test_bounds();
        test_large();
        test_many_mistakes();
        test_quotes();
        test_long_line();
        test_diag();
        test_directives();
        test_long_anchor();
        test_long_alias();
        assert(failures == 0);
        return 0;
}

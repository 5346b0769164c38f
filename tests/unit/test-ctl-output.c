/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/lines.h"
#include "ctl/output.h"
#include "util/cleanup.h"

static json_t *parse(const char *text)
{
        json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

        assert(json);
        return json;
}

/* What print() writes of the JSON, against what is wanted. */
static void check(void (*print)(FILE *f, const json_t *json), const char *text, const char *want)
{
        _cleanup_(json_unrefp) json_t *json = parse(text);
        _cleanup_free_ char *got = NULL;
        size_t size;
        FILE *f = open_memstream(&got, &size);

        assert(f);
        print(f, json);
        assert(fclose(f) == 0);
        if (strcmp(got, want) != 0)
                fprintf(stderr, "%s\ngot:\n%s\nwant:\n%s\n", text, got, want);
        assert(strcmp(got, want) == 0);
}

static void test_json(void)
{
        check(output_json, "{\"b\": [1, 2.5, 0.1, 1e300], \"a\": {\"\\u00e9\\n\": null}}",
              "{\"b\":[1,2.5,0.1,1e+300],\"a\":{\"\xc3\xa9\\n\":null}}\n");
        check(output_json, "3.0", "3\n");
        check(output_json, "0.30000000000000004", "0.30000000000000004\n");
        check(output_json, "[]", "[]\n");
        check(output_json, "\"x\\\"y\"", "\"x\\\"y\"\n");
        /* on a terminal, too */
        check(output_json, "{\"\\u009b\": \"\\u202e\\u2028\\u007f\\u05d0\"}",
              "{\"\\u009b\":\"\\u202e\\u2028\\u007f\xd7\x90\"}\n");
}

static void test_tree(void)
{
        check(output_tree, "{\"a\":1,\"b\":\"text\",\"c\":\"\",\"d\":[],\"e\":{},\"f\":null}",
              "a: 1\nb: text\nc: \"\"\nd: []\ne: {}\nf: null\n");
        check(output_tree, "{\"l\":[1,\"x\",[2,3],{\"k\":true,\"m\":{\"n\":0.5}}]}",
              "l:\n"
              "  - 1\n"
              "  - x\n"
              "  - - 2\n"
              "    - 3\n"
              "  - k: true\n"
              "    m:\n"
              "      n: 0.5\n");
        check(output_tree, "{\"s\":\"one\\ntwo\\n\",\"t\":\"\\nx\"}",
              "s: \n  one\n  two\nt: \n  \n  x\n");
        check(output_tree, "{}", "{}\n");
}

static void test_table(void)
{
        static const char *const cells[] = {
                "NAME", "N", "LAST", "\xc3\xa9\xc3\xa9", "5", "x", "longer", "-", "y",
        };
        _cleanup_free_ char *got = NULL;
        size_t size;
        FILE *f = open_memstream(&got, &size);

        output_table(f, cells, 3, 3);
        assert(fclose(f) == 0);
        assert(strcmp(got, "NAME    N  LAST\n"
                           "\xc3\xa9\xc3\xa9      5  x\n"
                           "longer  -  y\n") == 0);
}

static void test_duration(void)
{
        static const struct {
                uint64_t seconds;
                const char *text;
        } cases[] = {
                { 0, "0 s" },          { 59, "59 s" },       { 60, "1 min 0 s" },
                { 3661, "1 h 1 min" }, { 90000, "1 d 1 h" },
        };
        char text[64];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                output_duration(cases[i].seconds, text, sizeof text);
                assert(strcmp(text, cases[i].text) == 0);
        }
}

static void write_all(int fd, const char *text, size_t length)
{
        while (length > 0) {
                ssize_t n = write(fd, text, length);

                assert(n > 0);
                text += n;
                length -= (size_t)n;
        }
}

static void check_line(struct lines *lines, const char *want)
{
        const char *line;
        size_t length;

        assert(lines_next(lines, &line, &length) == 1);
        assert(length == strlen(want) && memcmp(line, want, length) == 0);
}

static void test_lines(void)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        _cleanup_free_ char *big = malloc(20000);
        const char *line;
        size_t length;
        int fds[2];

        assert(pipe(fds) == 0 && lines_new(&lines, fds[0], -1) == 0 && big);
        memset(big, 'x', 19998);
        memcpy(big + 19998, "\n", 2);
        write_all(fds[1], "one\n\ntwo\nth", 11);
        check_line(lines, "one");
        check_line(lines, "");
        check_line(lines, "two");
        write_all(fds[1], "ree\n", 4);
        check_line(lines, "three");
        write_all(fds[1], big, 19999);
        write_all(fds[1], "end", 3);
        (void)close(fds[1]);
        big[19998] = '\0';
        check_line(lines, big);
        check_line(lines, "end");
        assert(lines_next(lines, &line, &length) == 0);
        assert(lines_next(lines, &line, &length) == 0);
        (void)close(fds[0]);
}

/* A partial line is not taken for a whole one when the wait is given up. */
static void test_lines_stop(void)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        const char *line;
        size_t length;
        int fds[2], stop[2];

        assert(pipe(fds) == 0 && pipe(stop) == 0);
        assert(lines_new(&lines, fds[0], stop[0]) == 0);
        write_all(fds[1], "a\nhalf", 6);
        check_line(lines, "a");
        write_all(stop[1], "", 1);
        assert(lines_next(lines, &line, &length) == 0);
        for (size_t i = 0; i < 2; i++) {
                (void)close(fds[i]);
                (void)close(stop[i]);
        }
}

static void test_lines_too_long(void)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        FILE *f = tmpfile();
        const char *line;
        size_t length;

        assert(f && ftruncate(fileno(f), LINES_MAX + 1) == 0);
        assert(lines_new(&lines, fileno(f), -1) == 0);
        assert(lines_next(lines, &line, &length) == -EMSGSIZE);
        (void)fclose(f);
}

static void test_rest(void)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        const char *text;
        size_t length;
        int fds[2];

        assert(pipe(fds) == 0 && lines_new(&lines, fds[0], -1) == 0);
        write_all(fds[1], "a\nb\n", 4);
        (void)close(fds[1]);
        assert(lines_rest(lines, &text, &length) == 1);
        assert(length == 4 && memcmp(text, "a\nb\n", 4) == 0);
        (void)close(fds[0]);
}

int main(void)
{
        test_json();
        test_tree();
        test_table();
        test_duration();
        test_lines();
        test_lines_stop();
        test_lines_too_long();
        test_rest();
        return 0;
}

/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "util/cleanup.h"

#define HEAD "ports: [{ listen: \"127.0.0.1:0\" }]\nbricks:\n"
#define FORM                                                                                 \
        "a secret must be { file: PATH }, { credential: NAME } or { env: NAME }, never the " \
        "secret itself"

static const struct option_spec table[] = {
        { .name = "text", .type = OPTION_STRING, .fallback = "none" },
        { .name = "count", .type = OPTION_INT, .fallback = "3", .min = 1, .max = 9 },
        { .name = "sure", .type = OPTION_BOOL },
        { .name = "ratio", .type = OPTION_FLOAT, .fallback = "0.5", .min = 0, .max = 1 },
        { .name = "items", .type = OPTION_LIST, .fallback = "[a, { b: c }]" },
        { .name = "extra", .type = OPTION_MAP },
        { .name = "wait", .type = OPTION_DURATION, .min = 0, .max = INT64_MAX },
        { .name = "room", .type = OPTION_SIZE, .min = 1024, .max = INT64_MAX },
        { .name = "kind", .type = OPTION_ENUM, .choices = "one|two" },
        { .name = "key", .type = OPTION_SECRET },
        { .name = "next", .type = OPTION_BRICK },
        { .name = "also", .type = OPTION_BRICK, .flags = OPTION_REPEATED },
        { .name = "index", .type = OPTION_PATH },
        {},
};

static const struct option_spec strict_table[] = {
        { .name = "model", .type = OPTION_STRING, .flags = OPTION_REQUIRED },
        {},
};

static const struct option_spec broken_table[] = {
        { .name = "items", .type = OPTION_LIST, .fallback = "[" },
        { .name = "count", .type = OPTION_INT, .fallback = "many" },
        {},
};

/* A table inside itself, as a brick's options may have. */
static const struct option_spec step_table[];
static const struct option_spec name_item[] = { { .type = OPTION_BRICK } };
static const struct option_spec step_item[] = { { .type = OPTION_MAP, .table = step_table } };
static const struct option_spec row_item[] = {
        { .type = OPTION_LIST, .table = name_item, .min = 2, .max = 3 },
};
static const struct option_spec step_table[] = {
        { .name = "brick", .type = OPTION_LIST, .table = name_item, .flags = OPTION_ONE_OR_MORE },
        { .name = "wait", .type = OPTION_DURATION, .fallback = "3s" },
        { .name = "file", .type = OPTION_PATH },
        { .name = "rows", .type = OPTION_LIST, .table = row_item },
        { .name = "next", .type = OPTION_MAP, .table = step_table },
        { .name = "parallel",
          .type = OPTION_LIST,
          .table = step_item,
          .flags = OPTION_ONE_OR_MORE },
        {},
};
static const struct option_spec nested_table[] = {
        { .name = "steps",
          .type = OPTION_LIST,
          .table = step_item,
          .flags = OPTION_REQUIRED,
          .min = 1,
          .max = INT64_MAX },
        {},
};

struct fixture {
        struct conf *conf;
        struct diag *diag;
};

static void fixture_done(struct fixture *f)
{
        conf_free(f->conf);
        diag_free(f->diag);
}

static struct fixture load(const char *text)
{
        struct fixture f = {};

        assert(diag_new(&f.diag, "/etc/t", text, strlen(text)) == 0);
        assert(conf_parse(&f.conf, "/etc/t", text, strlen(text), f.diag) == 0);
        return f;
}

static void expect_mistakes(const struct diag *diag, const char *expected)
{
        _cleanup_free_ char *found = NULL;
        size_t length;
        FILE *out;

        out = open_memstream(&found, &length);
        assert(out);
        for (size_t i = 0; diag_text(diag, i); i++) {
                const char *s = diag_text(diag, i) + strlen("/etc/t:");

                fprintf(out, "%.*s\n", (int)strcspn(s, "\n"), s);
        }
        assert(fclose(out) == 0);
        if (strcmp(found, expected) != 0)
                fprintf(stderr, "--- expected\n%s--- found\n%s", expected, found);
        assert(strcmp(found, expected) == 0);
}

static void test_mistakes(void)
{
        static const struct {
                const char *options;
                const struct option_spec *table;
                const char *expected;
        } cases[] = {
                { "{}", table, "" },
                { "", table, "" },
                { "{ txt: a }", table,
                  "5:16: bricks[0].options.txt: unknown key; did you mean \"text\"?\n" },
                { "{ text: [a] }", table,
                  "5:22: bricks[0].options.text: expected a string, got a list\n" },
                { "{ count: 0 }", table, "5:23: bricks[0].options.count: must be from 1 to 9\n" },
                { "{ count: 1.5 }", table,
                  "5:23: bricks[0].options.count: expected a whole number, got \"1.5\"\n" },
                { "{ sure: on }", table,
                  "5:22: bricks[0].options.sure: expected true or false, got \"on\"\n" },
                { "{ ratio: 1.01 }", table,
                  "5:23: bricks[0].options.ratio: must be from 0 to 1\n" },
                { "{ ratio: high }", table,
                  "5:23: bricks[0].options.ratio: expected a number, got \"high\"\n" },
                { "{ items: a }", table,
                  "5:23: bricks[0].options.items: expected a list, got \"a\"\n" },
                { "{ extra: [] }", table,
                  "5:23: bricks[0].options.extra: expected a map, got a list\n" },
                { "{ wait: 5 }", table,
                  "5:22: bricks[0].options.wait: expected a duration with its unit, such as 250ms, "
                  "3s, 5m or 1h, got \"5\"\n" },
                { "{ room: 1 }", table, "5:22: bricks[0].options.room: must be at least 1KiB\n" },
                { "{ kind: three }", table,
                  "5:22: bricks[0].options.kind: expected one or two, got \"three\"\n" },
                { "{ key: sk-123 }", table, "5:21: bricks[0].options.key: " FORM "\n" },
                { "{ key: { files: x } }", table, "5:23: bricks[0].options.key.files: " FORM "\n" },
                { "{ key: { file: a, env: b } }", table,
                  "5:21: bricks[0].options.key: " FORM "\n" },
                { "{ key: { file: } }", table,
                  "5:29: bricks[0].options.key.file: expected a name or a path\n" },
                { "{ key: { credential: ../x } }", table,
                  "5:35: bricks[0].options.key.credential: the name of a credential must not "
                  "contain \"/\"; for a path use { file: PATH }\n" },
                { "{ next: sheild }", table,
                  "5:22: bricks[0].options.next: no brick has the name \"sheild\"; did you mean "
                  "\"shield\"?\n" },
                { "{ next: chat }", table,
                  "5:22: bricks[0].options.next: a brick cannot call itself\n" },
                { "{ also: [shield, chat, x] }", table,
                  "5:31: bricks[0].options.also[1]: a brick cannot call itself\n"
                  "5:37: bricks[0].options.also[2]: no brick has the name \"x\"\n" },
                { "{}", strict_table, "5:14: bricks[0].options.model: required\n" },
                { "", strict_table, "3:5: bricks[0].options.model: required\n" },
                { "{ model: }", strict_table,
                  "5:23: bricks[0].options.model: the value is missing\n" },
                { "{}", nested_table, "5:14: bricks[0].options.steps: required\n" },
                { "{ steps: [] }", nested_table,
                  "5:23: bricks[0].options.steps: needs at least 1 entry\n" },
                { "{ steps: { brick: shield } }", nested_table,
                  "5:23: bricks[0].options.steps: expected a list, got a map\n" },
                { "{ steps: [{ brik: shield }, 3] }", nested_table,
                  "5:26: bricks[0].options.steps[0].brik: unknown key; did you mean \"brick\"?\n"
                  "5:42: bricks[0].options.steps[1]: expected a map, got \"3\"\n" },
                { "{ steps: [{ next: { parallel: { brick: [shield, chat], wait: 3 } } }] }",
                  nested_table,
                  "5:62: bricks[0].options.steps[0].next.parallel[0].brick[1]: a brick cannot call "
                  "itself\n"
                  "5:75: bricks[0].options.steps[0].next.parallel[0].wait: expected a duration "
                  "with its unit, such as 250ms, 3s, 5m or 1h, got \"3\"\n" },
                { "{ steps: [{ brick: [x, ] }, { brick: { } }, null] }", nested_table,
                  "5:34: bricks[0].options.steps[0].brick[0]: no brick has the name \"x\"\n"
                  "5:51: bricks[0].options.steps[1].brick[0]: expected a string, got a map\n"
                  "5:58: bricks[0].options.steps[2]: the value is missing\n" },
                { "{ steps: [{ rows: [[shield], shield] }] }", nested_table,
                  "5:33: bricks[0].options.steps[0].rows[0]: needs at least 2 entries\n"
                  "5:43: bricks[0].options.steps[0].rows[1]: expected a list, got \"shield\"\n" },
                { "{}", broken_table,
                  "5:14: bricks[0].options.items: the fallback [ is not YAML\n"
                  "5:14: bricks[0].options.count: expected a whole number, got \"many\"\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fixture_done) struct fixture f = {};
                char text[512];

                snprintf(text, sizeof text,
                         HEAD "  - name: chat\n    module: m\n    options: %s\n"
                              "  - { name: shield, module: m }\n",
                         cases[i].options);
                f = load(text);
                assert(!conf_brick_options(f.conf, &f.conf->bricks[0], cases[i].table, f.diag) ==
                       (cases[i].expected[0] != '\0'));
                expect_mistakes(f.diag, cases[i].expected);
        }
}

static void test_values(void)
{
        _cleanup_(fixture_done) struct fixture f = {};
        const struct node *options, *items;
        int64_t number = 0;
        double ratio = 0;

        f = load(HEAD
                 "  - name: chat\n    module: m\n"
                 "    options: { wait: 2s, room: 1KiB, index: a/b, also: shield, count: \"7\", "
                 "kind: TWO }\n"
                 "  - { name: shield, module: m }\n");
        options = conf_brick_options(f.conf, &f.conf->bricks[0], table, f.diag);
        assert(options && f.conf->bricks[0].checked == options);
        assert(strcmp(node_get(options, "text")->text, "none") == 0);
        assert(option_int(node_get(options, "count"), &number, NULL) && number == 7);
        assert(option_float(node_get(options, "ratio"), &ratio, NULL) && ratio == 0.5);
        assert(option_duration(node_get(options, "wait"), &number, NULL) && number == 2000000000);
        assert(option_size(node_get(options, "room"), &number, NULL) && number == 1024);
        assert(strcmp(node_get(options, "index")->text, "/etc/a/b") == 0);
        assert(strcmp(node_get(options, "kind")->text, "two") == 0); /* as the table spells it */
        assert(node_get(options, "kind")->length == 3);
        assert(!node_get(options, "sure") && !node_get(options, "key"));

        items = node_get(options, "items");
        assert(items->kind == NODE_LIST && items->n_children == 2 && items->spec == &table[4]);
        assert(strcmp(node_get(items->children[1], "b")->text, "c") == 0);
        assert(node_get(options, "also")->kind == NODE_LIST);
        assert(node_get(options, "also")->children[0]->spec->type == OPTION_BRICK);
}

/* Nested values are as complete as those of the first level. */
static void test_nested_values(void)
{
        _cleanup_(fixture_done) struct fixture f = {};
        const struct node *step, *name;

        f = load(HEAD "  - name: chat\n    module: m\n"
                      "    options: { steps: [{ next: { brick: shield, file: a } }] }\n"
                      "  - { name: shield, module: m }\n");
        step = node_get(conf_brick_options(f.conf, &f.conf->bricks[0], nested_table, f.diag),
                        "steps");
        assert(step && step->n_children == 1 && step->spec == &nested_table[0]);
        step = step->children[0];
        assert(step->spec == step_item);
        assert(strcmp(node_get(step, "wait")->text, "3s") == 0);
        step = node_get(step, "next");
        assert(strcmp(node_get(step, "wait")->text, "3s") == 0);
        assert(strcmp(node_get(step, "file")->text, "/etc/a") == 0);
        name = node_get(step, "brick");
        assert(name->kind == NODE_LIST && name->n_children == 1);
        assert(strcmp(name->children[0]->text, "shield") == 0);
        assert(name->children[0]->line == 5 && name->children[0]->column == 41);
        assert(!node_get(step, "parallel"));
}

/* bricks a, b, c ...: who calls whom, in the form "ab bc" */
static void expect_order(const char *calls, const char *expected, const char *mistakes)
{
        _cleanup_(fixture_done) struct fixture f = {};
        _cleanup_free_ char *text = NULL;
        char order[8] = "";
        size_t length, indices[5];
        FILE *out;

        out = open_memstream(&text, &length);
        assert(out);
        fputs(HEAD, out);
        for (char name = 'a'; name < 'f'; name++) {
                fprintf(out, "  - { name: %c, module: m, options: { also: [", name);
                for (const char *s = calls; *s; s += s[2] ? 3 : 2)
                        if (s[0] == name)
                                fprintf(out, "%c,", s[1]);
                fputs("] } }\n", out);
        }
        assert(fclose(out) == 0);

        f = load(text);
        for (size_t i = 0; i < 5; i++)
                assert(conf_brick_options(f.conf, &f.conf->bricks[i], table, f.diag));
        assert(conf_brick_order(f.conf, indices, f.diag) == (mistakes[0] ? -EINVAL : 0));
        expect_mistakes(f.diag, mistakes);
        for (size_t i = 0; i < 5; i++)
                order[i] = "abcde"[indices[i]];
        assert(mistakes[0] || strcmp(order, expected) == 0);
}

static void test_order(void)
{
        expect_order("", "abcde", "");
        expect_order("ab bc cd de", "edcba", "");
        expect_order("ba ca da ea", "abcde", "");
        expect_order("ae", "eabcd", "");
        expect_order("ab ac bd cd", "dbcae", "");
        expect_order("ac bc cd be", "dcaeb", "");
        expect_order("ab ba", "",
                     "4:45: bricks[1].options.also[0]: bricks call each other in a cycle: a -> b "
                     "-> a\n");
        expect_order("ab bc cb de ed", "",
                     "5:45: bricks[2].options.also[0]: bricks call each other in a cycle: b -> c "
                     "-> b\n"
                     "7:45: bricks[4].options.also[0]: bricks call each other in a cycle: d -> e "
                     "-> d\n");
        expect_order("ab bc ca cb", "",
                     "5:45: bricks[2].options.also[0]: bricks call each other in a cycle: a -> b "
                     "-> c -> a\n"
                     "5:47: bricks[2].options.also[1]: bricks call each other in a cycle: b -> c "
                     "-> b\n");
}

/* Targets count at any depth. */
static void test_nested_order(void)
{
        _cleanup_(fixture_done) struct fixture f = {};
        size_t order[3];

        f = load(
                HEAD
                "  - { name: a, module: m, options: { steps: [{ parallel: [{ brick: [b] }] }] } }\n"
                "  - { name: b, module: m, options: { steps: [{ rows: [[c, c]] }] } }\n"
                "  - { name: c, module: m, options: { steps: [{}] } }\n");
        for (size_t i = 0; i < 3; i++)
                assert(conf_brick_options(f.conf, &f.conf->bricks[i], nested_table, f.diag));
        assert(conf_brick_order(f.conf, order, f.diag) == 0);
        assert(order[0] == 2 && order[1] == 1 && order[2] == 0);
        fixture_done(&f);

        f = load(HEAD "  - { name: a, module: m, options: { steps: [{ next: { brick: b } }] } }\n"
                      "  - { name: b, module: m, options: { steps: [{ brick: a }] } }\n");
        for (size_t i = 0; i < 2; i++)
                assert(conf_brick_options(f.conf, &f.conf->bricks[i], nested_table, f.diag));
        assert(conf_brick_order(f.conf, order, f.diag) == -EINVAL);
        expect_mistakes(f.diag, "4:55: bricks[1].options.steps[0].brick[0]: bricks call each other "
                                "in a cycle: a -> b -> a\n");
}

static void put_file(const char *path, const char *bytes, size_t length, mode_t mode)
{
        _cleanup_close_ int fd = -EBADF;

        (void)unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert(fd >= 0 && write(fd, bytes, length) == (ssize_t)length && fchmod(fd, mode) == 0);
}

/* What a secret gives, or the reason why it gives nothing. */
static void expect_secret(const char *secret, const char *base, const char *expected,
                          const char *mistake)
{
        _cleanup_(fixture_done) struct fixture f = {};
        const struct node *node;
        char *value = NULL;
        char text[256];
        bool got;

        snprintf(text, sizeof text, HEAD "  - { name: a, module: m, options: { key: %s } }\n",
                 secret);
        f = load(text);
        node = node_get(conf_brick_options(f.conf, &f.conf->bricks[0], table, f.diag), "key");
        got = option_secret(node, base, &value, f.diag);
        assert(got == (expected != NULL));
        if (expected) {
                assert(strcmp(value, expected) == 0);
                option_secret_free(value);
        } else {
                if (!strstr(diag_text(f.diag, 0), mistake))
                        fprintf(stderr, "%s\n", diag_text(f.diag, 0));
                assert(diag_count(f.diag) == 1 && strstr(diag_text(f.diag, 0), mistake));
        }
}

static void test_secrets(void)
{
        char base[] = "/tmp/test-conf-XXXXXX", path[64], absolute[96];
        _cleanup_free_ char *large = NULL;

        assert(mkdtemp(base));
        snprintf(path, sizeof path, "%s/key", base);
        snprintf(absolute, sizeof absolute, "{ file: %s }", path);

        put_file(path, "s3cret\n", 7, 0600);
        expect_secret("{ file: key }", base, "s3cret", NULL);
        expect_secret(absolute, "/nowhere", "s3cret", NULL);
        put_file(path, "s3cret\r\n", 8, 0640);
        expect_secret("{ file: key }", base, "s3cret", NULL);
        put_file(path, "s3cret\n\n", 8, 0400);
        expect_secret("{ file: key }", base, "s3cret\n", NULL);
        put_file(path, "s3cret", 6, 0644);
        expect_secret("{ file: key }", base, NULL, "every user of this machine can read it");
        put_file(path, "s3cret", 6, 0602);
        expect_secret("{ file: key }", base, NULL, "every user of this machine can change it");
        put_file(path, "\n", 1, 0600);
        expect_secret("{ file: key }", base, NULL, "empty");
        put_file(path, "a\0b", 3, 0600);
        expect_secret("{ file: key }", base, NULL, "contains a NUL character");
        large = calloc(1, 65537);
        assert(large);
        memset(large, 'x', 65537);
        put_file(path, large, 65537, 0600);
        expect_secret("{ file: key }", base, NULL, "larger than 64 KiB");
        expect_secret("{ file: none }", base, NULL, "none: No such file or directory");
        expect_secret("{ file: . }", base, NULL, "not a regular file");

        assert(unsetenv("CREDENTIALS_DIRECTORY") == 0);
        expect_secret("{ credential: key }", base, NULL, "LoadCredential=key:/PATH");
        assert(setenv("CREDENTIALS_DIRECTORY", base, 1) == 0);
        put_file(path, "from systemd\n", 13, 0444);
        expect_secret("{ credential: key }", "/nowhere", "from systemd", NULL);

        assert(setenv("T_SECRET", "from environment", 1) == 0);
        expect_secret("{ env: T_SECRET }", base, "from environment", NULL);
        assert(setenv("T_SECRET", "", 1) == 0);
        expect_secret("{ env: T_SECRET }", base, NULL,
                      "the environment variable T_SECRET is empty");
        assert(unsetenv("T_SECRET") == 0);
        expect_secret("{ env: T_SECRET }", base, NULL,
                      "the environment variable T_SECRET is not set");
        option_secret_free(NULL);
        assert(unlink(path) == 0 && rmdir(base) == 0);
}

/* A secret that stands in the file by mistake is in no message. */
static void test_hidden(void)
{
        _cleanup_(fixture_done) struct fixture f = {};

        f = load(HEAD "  - { name: a, module: m, options: { txt: b, key: sk-123 } }\n");
        assert(!conf_brick_options(f.conf, &f.conf->bricks[0], table, f.diag));
        assert(diag_count(f.diag) == 2);
        for (size_t i = 0; i < 2; i++)
                assert(!strstr(diag_text(f.diag, i), "sk-123"));
}

int main(void)
{
        test_mistakes();
        test_values();
        test_nested_values();
        test_order();
        test_nested_order();
        test_secrets();
        test_hidden();
        return 0;
}

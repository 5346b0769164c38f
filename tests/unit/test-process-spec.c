/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf-expect.h"
#include "conf/process.h"

/* Specifications of processes, and the mistakes that are found while they are made. */

static char folder[] = "/tmp/test-process-XXXXXX";

/* Formats a path in the folder. The last four results are valid. */
static const char *in_folder(const char *name)
{
        static char paths[4][256];
        static unsigned next;
        char *path = paths[next++ % ELEMENTSOF(paths)];

        (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
        return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
        _cleanup_close_ int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                                      mode);

        assert(fd >= 0);
        assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

struct result {
        int r;
        struct conf *conf;
        struct process_spec *spec;
        char *mistakes;
};

static void result_done(struct result *result)
{
        (void)process_spec_free(result->spec);
        (void)conf_free(result->conf);
        free(result->mistakes);
}

/* Of a brick with this module and these options, in a file of the folder. */
static struct result make(const char *module, const char *options)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        struct result result = {};
        char text[2048], name[256];

        (void)snprintf(text, sizeof text, PORT "bricks:\n- name: b\n  module: %s\n  options: %s\n",
                       module, options);
        (void)snprintf(name, sizeof name, "%s/t", folder);
        assert(diag_new(&diag, "t", text, strlen(text)) == 0);
        assert(conf_parse(&result.conf, name, text, strlen(text), diag) == 0);
        assert(process_table(&result.conf->bricks[0]));
        result.r = process_spec_new(&result.spec, result.conf, &result.conf->bricks[0], diag);
        result.mistakes = mistakes(diag);
        assert((result.r == 0) == (result.spec != NULL));
        return result;
}

#define MAKE(name, module, options) \
        _cleanup_(result_done) struct result name = make(module, options)

static void expect_mistake(const char *module, const char *options, const char *expected)
{
        MAKE(result, module, options);

        assert(result.r == -EINVAL);
        if (strstr(result.mistakes, expected))
                return;
        fprintf(stderr, "--- of %s\n--- expected\n%s\n--- found\n%s", options, expected,
                result.mistakes);
        failures++;
}

static const char *variable(const struct process_spec *spec, const char *name)
{
        size_t n = strlen(name);

        for (char **s = spec->environment; *s; s++)
                if (strncmp(*s, name, n) == 0 && (*s)[n] == '=')
                        return *s + n + 1;
        return NULL;
}

static void test_process(void)
{
        assert(setenv("SECRET", "hidden", 1) == 0);
        MAKE(made, "process",
             "{ type: LLM, command: [sh, brick.sh, '-v'], processes: 3, grace: 7s,"
             " environment: { A: one, KEY: { file: key } }, limits: { memory: 2GiB, files: 64 } }");
        const struct process_spec *spec = made.spec;

        assert(made.r == 0);
        assert(spec->argv[0][0] == '/' && strcmp(strrchr(spec->argv[0], '/'), "/sh") == 0);
        assert(strcmp(spec->argv[1], "brick.sh") == 0 && strcmp(spec->argv[2], "-v") == 0);
        assert(!spec->argv[3]);
        assert(strcmp(spec->directory, folder) == 0);
        assert(strcmp(variable(spec, "A"), "one") == 0);
        assert(strcmp(variable(spec, "KEY"), "from a file") == 0);
        assert(variable(spec, "PATH"));
        assert(!variable(spec, "SECRET")); /* it is brickd's own */
        assert(spec->count == 3 && spec->memory == INT64_C(2) << 30 && spec->files == 64);
        assert(spec->processes == 0 && !spec->notifies && !spec->user);
        assert(spec->uid == geteuid());
}

static void test_python(void)
{
        MAKE(class, "python",
             "{ type: Guard, class: 'my_bricks.guard:Guard', path: [bricks, /usr/lib],"
             " arguments: { limit: 3, ratio: 0.5, on: true, name: '7', list: [a, null] } }");
        MAKE(script, "python", "{ type: Common, script: bricks/serve.py, argv: [--port, 50051] }");
        const char *json = "{\"limit\":3,\"ratio\":0.5,\"on\":true,\"name\":\"7\","
                           "\"list\":[\"a\",null]}";

        assert(class.r == 0 && script.r == 0);
        assert(strstr(class.spec->argv[1], "brickd-python"));
        assert(strcmp(class.spec->argv[2], "--type") == 0);
        assert(strcmp(class.spec->argv[3], "Guard") == 0);
        assert(strcmp(class.spec->argv[4], "class") == 0);
        assert(strcmp(class.spec->argv[5], "my_bricks.guard:Guard") == 0);
        assert(strcmp(variable(class.spec, "BRICKD_ARGUMENTS"), json) == 0);
        assert(strstr(variable(class.spec, "PYTHONPATH"), "/bricks:/usr/lib"));
        assert(class.spec->notifies);
        assert(strcmp(script.spec->argv[4], "script") == 0);
        assert(script.spec->argv[5][0] == '/');
        assert(strcmp(variable(script.spec, "BRICKD_ARGUMENTS"), "[\"--port\",\"50051\"]") == 0);
}

static void test_mistakes(void)
{
        expect_mistake("process", "{ type: LLM, command: no-such-program }",
                       "5:34: bricks[0].options.command[0]: there is no program "
                       "\"no-such-program\" in ");
        expect_mistake("process", "{ type: LLM, command: [] }", "names no program");
        expect_mistake("process", "{ type: LLM, command: ./key }",
                       "/./key: is not a program that brickd may run");
        expect_mistake("process", "{ type: LLM, command: ./absent }", "No such file or directory");
        expect_mistake("process", "{ type: LLM, command: ./sh, directory: /etc }",
                       "/etc/./sh: No such file or directory");
        expect_mistake("process", "{ type: LLM, command: sh, directory: absent }",
                       "bricks[0].options.directory: ");
        expect_mistake("process", "{ type: LLM, command: sh, user: no-such-user }",
                       "there is no user \"no-such-user\"");
        expect_mistake("process", "{ type: LLM, command: sh, environment: { 'A B': x } }",
                       "is not the name of a variable");
        expect_mistake("process", "{ type: LLM, command: sh, environment: { BRICKD_SOCKET: x } }",
                       "brickd sets this variable itself");
        expect_mistake("process", "{ type: LLM, command: sh, environment: { A: { file: no } } }",
                       "No such file or directory");
        expect_mistake("python", "{ type: LLM }", "needs either `class` or `script`\n");
        expect_mistake("python", "{ type: LLM, class: 'a:B', script: bricks/serve.py }",
                       "not both");
        expect_mistake("python", "{ type: LLM, class: 'a:B', argv: [x] }", "is for `script` only");
        expect_mistake("python", "{ type: LLM, script: bricks/serve.py, arguments: { a: 1 } }",
                       "is for `class` only");
        expect_mistake("python", "{ type: LLM, script: absent.py }", "No such file or directory");
        expect_mistake("python", "{ type: LLM, script: bricks }", "bricks is not a file");
        expect_mistake("python", "{ type: LLM, class: 'a:B', python: ./no-python }",
                       "No such file or directory");
        /* What the table finds is left to the worker, which reports it with the rest. */
        expect_mistake("process", "{ type: LLM, comand: sh }", "");
        if (geteuid() == 0)
                expect_mistake("process", "{ type: LLM, command: sh, limits: { processes: 5 } }",
                               "does not limit root");
}

static bool same(const struct result *a, const struct result *b)
{
        return process_spec_equal(a->spec, b->spec);
}

static void wait_for_another_time(const char *name)
{
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };

        assert(utimensat(AT_FDCWD, in_folder(name), times, 0) == 0);
}

/* The same is kept over a reload; what differs in any way is not. */
static void test_same(void)
{
        static const char command[] = "{ type: LLM, command: [sh, brick.sh] }";
        static const char python[] = "{ type: LLM, class: 'guard:Guard', path: bricks }";
        MAKE(one, "process", command);
        MAKE(two, "process", command);
        MAKE(more, "process", "{ type: LLM, command: [sh, brick.sh], processes: 2 }");
        MAKE(argument, "process", "{ type: LLM, command: [sh, brick.sh, x] }");
        MAKE(environment, "process", "{ type: LLM, command: [sh, brick.sh], environment: {A: b} }");
        MAKE(class, "python", python);
        MAKE(again, "python", python);
        static const char file[] = "{ type: LLM, class: 'bricks/serve.py:Guard' }";
        MAKE(of_file, "python", file);

        assert(same(&one, &two) && same(&class, &again));
        assert(!same(&one, &more) && !same(&one, &argument) && !same(&one, &environment));

        wait_for_another_time("brick.sh");
        MAKE(changed, "process", command);
        assert(!same(&one, &changed));

        put("bricks/deep/helper.py", "# new\n", 0600);
        MAKE(with_helper, "python", python);
        MAKE(file_with_helper, "python", file);
        assert(!same(&of_file, &file_with_helper));
        assert(!same(&class, &with_helper));
        put("bricks/deep/notes.txt", "no source\n", 0600);
        MAKE(with_notes, "python", python);
        assert(same(&with_helper, &with_notes));
}

static void test_user(void)
{
        const struct passwd *nobody = getpwnam("nobody");

        if (!nobody)
                return;
        if (geteuid() != 0) {
                expect_mistake("process", "{ type: LLM, command: sh, user: nobody }",
                               "root has not started it");
                return;
        }
        MAKE(made, "process",
             "{ type: LLM, command: sh, user: nobody, limits: { processes: 50 } }");
        assert(made.r == 0 && made.spec->uid == nobody->pw_uid);
        assert(strcmp(variable(made.spec, "USER"), "nobody") == 0);
        assert(made.spec->processes == 50);
}

static void remove_folder(void)
{
        char command[64];

        (void)snprintf(command, sizeof command, "rm -rf %s", folder);
        assert(system(command) == 0);
}

int main(void)
{
        assert(mkdtemp(folder));
        assert(mkdir(in_folder("bricks"), 0700) == 0);
        assert(mkdir(in_folder("bricks/deep"), 0700) == 0);
        put("key", "from a file\n", 0600);
        put("brick.sh", "exit 0\n", 0600);
        put("bricks/serve.py", "\n", 0600);
        put("bricks/guard.py", "\n", 0600);
        test_process();
        test_python();
        test_mistakes();
        test_same();
        test_user();
        remove_folder();
        return failures != 0;
}

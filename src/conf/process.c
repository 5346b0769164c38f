/* SPDX-License-Identifier: MIT */
#include "conf/process.h"

#include <string.h>
#include <unistd.h>

#include "conf/diag.h"
#include "conf/get.h"
#include "conf/node.h"
#include "conf/process-parts.h"
#include "conf/source.h"
#include "config.h"
#include "util/clock.h"

#define HOUR ((int64_t)(3600 * NSEC_PER_SEC))
#define MIB (INT64_C(1) << 20)
#define TYPES "Common|LLM|Guard|Intention|Rectify|Retrieval|Translate|Compose"

static const struct option_spec limits[] = {
        { .name = "memory",
          .type = OPTION_SIZE,
          .min = MIB,
          .max = INT64_MAX,
          .help = "private memory of one process: allocating more fails there; default: no limit" },
        { .name = "processes",
          .type = OPTION_INT,
          .min = 1,
          .max = 1000000,
          .help = "processes and threads of the user together; default: no limit" },
        { .name = "files",
          .type = OPTION_INT,
          .min = 16,
          .max = 1000000,
          .help = "files that one process may have open; default: as brickd" },
        {},
};

/* What both modules have. */
#define TYPE_OPTION                                                                              \
        {                                                                                        \
                .name = "type", .type = OPTION_ENUM, .flags = OPTION_REQUIRED, .choices = TYPES, \
                .help = "the type of brick that the processes serve"                             \
        }
#define SHARED_OPTIONS(START_TIMEOUT)                                                        \
        { .name = "environment",                                                             \
          .type = OPTION_MAP,                                                                \
          .help = "variables for the processes: texts or secrets" },                         \
                { .name = "directory",                                                       \
                  .type = OPTION_PATH,                                                       \
                  .help = "working directory; default: that of the configuration file" },    \
                { .name = "processes",                                                       \
                  .type = OPTION_INT,                                                        \
                  .fallback = "1",                                                           \
                  .min = 1,                                                                  \
                  .max = PROCESSES_MAX,                                                      \
                  .help = "how many to run; a call goes to the one with the fewest calls" }, \
                { .name = "start_timeout",                                                   \
                  .type = OPTION_DURATION,                                                   \
                  .fallback = START_TIMEOUT,                                                 \
                  .min = NSEC_PER_MSEC,                                                      \
                  .max = 24 * HOUR,                                                          \
                  .help = "time for a process to become ready" },                            \
                { .name = "hang_timeout",                                                    \
                  .type = OPTION_DURATION,                                                   \
                  .fallback = "30s",                                                         \
                  .min = 0,                                                                  \
                  .max = 24 * HOUR,                                                          \
                  .help = "a process that has sent WATCHDOG=1 and then is silent for so "    \
                          "long is killed and started again; 0s: never" },                   \
                { .name = "grace",                                                           \
                  .type = OPTION_DURATION,                                                   \
                  .fallback = "5s",                                                          \
                  .min = 0,                                                                  \
                  .max = HOUR,                                                               \
                  .help = "time for a process to exit after SIGTERM before it is killed" },  \
                { .name = "limits",                                                          \
                  .type = OPTION_MAP,                                                        \
                  .fallback = "{}",                                                          \
                  .table = limits,                                                           \
                  .help = "what the processes may use" },                                    \
        {                                                                                    \
                .name = "user", .type = OPTION_STRING,                                       \
                .help = "user to run as; only a brickd that root has started may change it"  \
        }

const struct option_spec process_options[] = {
        TYPE_OPTION,
        { .name = "command",
          .type = OPTION_STRING,
          .flags = OPTION_REQUIRED | OPTION_REPEATED,
          .help = "program and arguments; it serves gRPC on the unix socket $BRICKD_SOCKET" },
        { .name = "ready",
          .type = OPTION_ENUM,
          .choices = "connect|notify",
          .fallback = "connect",
          .help = "a process is ready when its socket accepts a connection, or when it says "
                  "READY=1 as sd_notify(3) does" },
        SHARED_OPTIONS("30s"),
        {},
};

const struct option_spec python_options[] = {
        TYPE_OPTION,
        { .name = "class",
          .type = OPTION_STRING,
          .pattern = "^[^:]+:[A-Za-z_][A-Za-z0-9_.]*$",
          .expected = "MODULE:CLASS",
          .help = "the brick: a class of llmbrick, an instance of one, or a function that makes "
                  "one; the module may be the path of a file" },
        { .name = "script",
          .type = OPTION_PATH,
          .help = "instead of `class`: a program that starts llmbrick's gRPC server" },
        { .name = "arguments",
          .type = OPTION_MAP,
          .help = "with `class`: keyword arguments that make the brick" },
        { .name = "argv",
          .type = OPTION_STRING,
          .flags = OPTION_REPEATED,
          .help = "with `script`: its command line arguments" },
        { .name = "python",
          .type = OPTION_STRING,
          .fallback = "python3",
          .help = "the interpreter, such as that of a virtual environment" },
        { .name = "path",
          .type = OPTION_PATH,
          .flags = OPTION_REPEATED,
          .help = "folders to import from" },
        SHARED_OPTIONS("2m"),
        {},
};

const struct option_spec *process_table(const struct conf_brick *brick)
{
        if (!brick->module)
                return NULL;
        if (strcmp(brick->module, "process") == 0)
                return process_options;
        return strcmp(brick->module, "python") == 0 ? python_options : NULL;
}

/* --- the program ------------------------------------------------------------------------------ */

/* The arguments may name files: a script, for instance. */
static int take_command(const struct parts *p, struct process_spec *spec, struct strings *argv)
{
        const struct node *command = get_node(p->options, "command");
        _cleanup_free_ char *program = NULL;
        int r;

        if (!command || command->n_children == 0) {
                diag_add(p->diag, command, "names no program");
                return -EINVAL;
        }
        r = parts_program(p, command->children[0], spec->directory, &program);
        if (r < 0)
                return r;
        spec->source = source_of_file(program);
        r = strings_add(argv, "%s", program);
        for (size_t i = 1; r == 0 && i < command->n_children; i++) {
                const char *argument = command->children[i]->text;
                _cleanup_free_ char *path = parts_join(spec->directory, argument);

                if (!path)
                        return -ENOMEM;
                spec->source += source_of_file(path);
                r = strings_add(argv, "%s", argument);
        }
        spec->notifies = get_choice(p->options, "ready") == 1;
        return r;
}

static const char *runner(void)
{
        const char *override = getenv("BRICKD_PYTHON");

        return override && *override ? override : BRICKD_LIBEXEC_DIR "/brickd-python";
}

static void add_sources(const struct parts *p, struct process_spec *spec)
{
        const struct node *path = get_node(p->options, "path");

        for (size_t i = 0; path && i < path->n_children; i++)
                spec->source += source_of_folder(path->children[i]->text, ".py");
}

/* The module may be a file, and other files beside it are then imported as well. */
static int add_file_of_class(struct process_spec *spec, const char *class)
{
        _cleanup_free_ char *module = strndup(class, (size_t)(strrchr(class, ':') - class));
        _cleanup_free_ char *path = module ? parts_join(spec->directory, module) : NULL;

        if (!path)
                return -ENOMEM;
        if (source_of_file(path) == 0)
                return 0;
        *strrchr(path, '/') = '\0';
        spec->source += source_of_folder(path, ".py");
        return 0;
}

static int take_class(const struct parts *p, struct process_spec *spec, struct strings *argv)
{
        const struct node *arguments = get_node(p->options, "arguments");
        int r = add_file_of_class(spec, get_string(p->options, "class"));

        if (r < 0)
                return r;
        add_sources(p, spec);
        if (arguments)
                r = parts_arguments(p, arguments);
        if (r == 0)
                r = strings_add(argv, "class");
        return r < 0 ? r : strings_add(argv, "%s", get_string(p->options, "class"));
}

static int take_script(const struct parts *p, struct process_spec *spec, struct strings *argv)
{
        const struct node *script = get_node(p->options, "script");
        const struct node *arguments = get_node(p->options, "argv");
        _cleanup_free_ char *folder = strndup(
                script->text, (size_t)(strrchr(script->text, '/') + 1 - script->text));
        int r = 0;

        if (!folder)
                return -ENOMEM;
        if (access(script->text, R_OK) < 0) {
                diag_add(p->diag, script, "%s: %s", script->text, strerror(errno));
                return -EINVAL;
        }
        if (source_of_file(script->text) == 0) {
                diag_add(p->diag, script, "%s is not a file", script->text);
                return -EINVAL;
        }
        add_sources(p, spec);
        spec->source += source_of_file(script->text) + source_of_folder(folder, ".py");
        if (arguments)
                r = parts_arguments(p, arguments);
        if (r == 0)
                r = strings_add(argv, "script");
        return r < 0 ? r : strings_add(argv, "%s", script->text);
}

static int take_python(const struct parts *p, struct process_spec *spec, struct strings *argv)
{
        const struct node *class = get_node(p->options, "class");
        const struct node *script = get_node(p->options, "script");
        _cleanup_free_ char *python = NULL;
        int r;

        if (!class == !script) {
                diag_add(p->diag, class ? script : p->options, "needs either `class` or `script`%s",
                         class ? ", not both" : "");
                return -EINVAL;
        }
        if (get_node(p->options, class ? "argv" : "arguments")) {
                diag_add_key(p->diag, get_node(p->options, class ? "argv" : "arguments"),
                             "is for `%s` only", class ? "script" : "class");
                return -EINVAL;
        }
        r = parts_program(p, get_node(p->options, "python"), p->base, &python);
        if (r == 0)
                r = strings_add(argv, "%s", python);
        if (r == 0)
                r = strings_add(argv, "%s", runner());
        if (r == 0)
                r = strings_add(argv, "--type");
        if (r == 0)
                r = strings_add(argv, "%s", get_string(p->options, "type"));
        if (r == 0)
                r = class ? take_class(p, spec, argv) : take_script(p, spec, argv);
        if (r == 0)
                r = parts_python_environment(p);
        spec->source += source_of_file(python) + source_of_file(runner());
        spec->notifies = true;
        return r;
}

/* --- the rest --------------------------------------------------------------------------------- */

static void take_numbers(const struct parts *p, struct process_spec *spec)
{
        const struct node *limit = get_node(p->options, "limits");

        spec->count = (unsigned)get_number(p->options, "processes");
        spec->start_timeout = get_number(p->options, "start_timeout");
        spec->hang_timeout = get_number(p->options, "hang_timeout");
        spec->grace = get_number(p->options, "grace");
        spec->memory = get_number(limit, "memory");
        spec->processes = (unsigned)get_number(limit, "processes");
        spec->files = (unsigned)get_number(limit, "files");
}

static int take_directory(const struct parts *p, struct process_spec *spec)
{
        const char *directory = get_string(p->options, "directory");

        spec->directory = strdup(directory ? directory : p->base);
        if (!spec->directory)
                return -ENOMEM;
        if (access(spec->directory, X_OK) == 0)
                return 0;
        diag_add(p->diag, get_node(p->options, "directory"), "%s: %s", spec->directory,
                 strerror(errno));
        return -EINVAL;
}

/* The kernel does not apply the limit to root. */
static int check_limits(const struct parts *p, const struct process_spec *spec)
{
        if (spec->processes == 0 || spec->uid != 0)
                return 0;
        diag_add(p->diag, get_node(get_node(p->options, "limits"), "processes"),
                 "does not limit root: give the processes a `user`");
        return -EINVAL;
}

static int fill(struct process_spec *spec, const struct conf_brick *brick, const struct parts *p,
                struct strings *argv)
{
        bool python = process_table(brick) == python_options;
        int r, k;

        take_numbers(p, spec);
        r = take_directory(p, spec);
        if (r < 0)
                return r;
        r = parts_user(p, spec);
        if (r == 0)
                r = check_limits(p, spec);
        k = r == -ENOMEM ? r : parts_environment(p, spec);
        if (r == 0)
                r = k;
        k = r == -ENOMEM ? r : python ? take_python(p, spec, argv) : take_command(p, spec, argv);
        return r < 0 ? r : k;
}

/* The options after conf_brick_options(), whose mistakes the worker reports. */
static const struct node *check_options(struct conf *conf, const struct conf_brick *brick)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;

        if (brick->checked || diag_new(&diag, conf->name, "", 0) < 0)
                return brick->checked;
        return conf_brick_options(conf, brick, process_table(brick), diag);
}

int process_spec_new(struct process_spec **ret, struct conf *conf, const struct conf_brick *brick,
                     struct diag *diag)
{
        _cleanup_(process_spec_freep) struct process_spec *spec = calloc(1, sizeof *spec);
        _cleanup_(strings_done) struct strings argv = {}, environment = {};
        const struct parts parts = {
                .options = check_options(conf, brick),
                .base = conf->base,
                .environment = &environment,
                .diag = diag,
        };
        int r;

        if (!spec)
                return -ENOMEM;
        if (!parts.options)
                return -EINVAL;
        r = fill(spec, brick, &parts, &argv);
        if (r < 0)
                return r;
        spec->argv = TAKE_PTR(argv.s);
        spec->environment = TAKE_PTR(environment.s);
        *ret = TAKE_PTR(spec);
        return 0;
}

static bool lists_equal(char *const *a, char *const *b)
{
        while (*a && *b && strcmp(*a, *b) == 0) {
                a++;
                b++;
        }
        return !*a && !*b;
}

bool process_spec_equal(const struct process_spec *a, const struct process_spec *b)
{
        return lists_equal(a->argv, b->argv) && lists_equal(a->environment, b->environment) &&
               strcmp(a->directory, b->directory) == 0 && a->uid == b->uid && a->gid == b->gid &&
               a->count == b->count && a->notifies == b->notifies &&
               a->start_timeout == b->start_timeout && a->hang_timeout == b->hang_timeout &&
               a->grace == b->grace && a->memory == b->memory && a->processes == b->processes &&
               a->files == b->files && a->source == b->source;
}

struct process_spec *process_spec_free(struct process_spec *spec)
{
        if (!spec)
                return NULL;
        strings_done(&(struct strings){ .s = spec->argv });
        strings_done(&(struct strings){ .s = spec->environment });
        free(spec->directory);
        free(spec->user);
        free(spec);
        return NULL;
}

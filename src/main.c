/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "config.h"
#include "manager/check.h"
#include "manager/manager.h"
#include "manager/spawn.h"
#include "manager/version.h"
#include "util/log.h"
#include "util/standard.h"
#include "util/terminal.h"

enum action {
        ACTION_SERVE,
        ACTION_CHECK,
        ACTION_PRINT_CONFIG,
        ACTION_PRINT_SCHEMA,
        ACTION_RUN_WORKER, /* --inspect, --describe: they load a module, which brickd-worker does */
        ACTION_VERSION,
        ACTION_HELP,
};

struct arguments {
        enum action action;
        const char *file;
};

/* Prints a line to stderr. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        terminal_put(stderr, text ? text : "brickd: out of memory");
        (void)fputc('\n', stderr);
}

static void print_help(void)
{
        (void)printf(
                "Usage: brickd [-c FILE]\n"
                "       brickd --check [FILE]\n"
                "\n"
                "Serve LLM bricks, the parts of LLM applications, over gRPC and HTTP.\n"
                "\n"
                "  -c, --config FILE   configuration file; default: $BRICKD_CONFIG, otherwise\n"
                "                      %s\n"
                "      --check         check the configuration, its modules and bricks, and exit\n"
                "      --print-config  print the configuration with all defaults\n"
                "      --print-schema  print the JSON Schema of the configuration\n"
                "      --inspect FILE  print information about a module file\n"
                "      --describe NAME print the options of a module\n"
                "      --version       print the version, and what brickd was built with\n"
                "  -h, --help          print this help\n"
                "\n"
                "SIGHUP reloads the configuration. SIGTERM stops; a second one cancels running "
                "calls.\n"
                "See brickd(8) and brickd.yaml(5).\n",
                BRICKD_CONFIG_FILE);
}

static bool parse_arguments(struct arguments *ret, int argc, char **argv)
{
        enum {
                OPTION_CHECK = 256,
                OPTION_PRINT_CONFIG,
                OPTION_PRINT_SCHEMA,
                OPTION_RUN_WORKER,
                OPTION_VERSION
        };
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "check", no_argument, NULL, OPTION_CHECK },
                { "print-config", no_argument, NULL, OPTION_PRINT_CONFIG },
                { "print-schema", no_argument, NULL, OPTION_PRINT_SCHEMA },
                { "inspect", required_argument, NULL, OPTION_RUN_WORKER },
                { "describe", required_argument, NULL, OPTION_RUN_WORKER },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        const char *file = getenv("BRICKD_CONFIG");
        struct arguments arguments = { .file = file && *file ? file : BRICKD_CONFIG_FILE };
        int c;

        while ((c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        arguments.file = optarg;
                        break;
                case 'h':
                        arguments.action = ACTION_HELP;
                        break;
                case OPTION_CHECK:
                        arguments.action = ACTION_CHECK;
                        break;
                case OPTION_PRINT_CONFIG:
                        arguments.action = ACTION_PRINT_CONFIG;
                        break;
                case OPTION_PRINT_SCHEMA:
                        arguments.action = ACTION_PRINT_SCHEMA;
                        break;
                case OPTION_RUN_WORKER:
                        arguments.action = ACTION_RUN_WORKER;
                        break;
                case OPTION_VERSION:
                        arguments.action = ACTION_VERSION;
                        break;
                default:
                        return false;
                }
        if (optind < argc && arguments.action == ACTION_CHECK)
                arguments.file = argv[optind++];
        if (optind < argc) {
                say("brickd: unexpected argument '%s'; name the configuration with -c FILE",
                    argv[optind]);
                return false;
        }
        *ret = arguments;
        return true;
}

static int print_conf(const struct conf *conf)
{
        _cleanup_free_ char *text = NULL;
        size_t length;
        FILE *f = open_memstream(&text, &length);
        int r;

        if (!f)
                return EXIT_FAILURE;
        r = conf_print(conf, f);
        if (fclose(f) != 0 || r < 0)
                return EXIT_FAILURE;
        terminal_put(stdout, text);
        return EXIT_SUCCESS;
}

static int print_config(const char *name)
{
        _cleanup_free_ char *bytes = NULL;
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL;
        size_t length;
        int r;

        r = conf_read(name, &bytes, &length);
        if (r < 0) {
                say("%s: %s", name, conf_strerror(r));
                return EX_CONFIG;
        }
        r = diag_new(&diag, name, bytes, length);
        if (r == 0)
                r = conf_parse(&conf, name, bytes, length, diag);
        if (r == -EINVAL) {
                diag_print(diag, stderr);
                return EX_CONFIG;
        }
        if (r < 0) {
                say("%s: %s", name, strerror(-r));
                return EXIT_FAILURE;
        }
        return print_conf(conf);
}

static int run_worker(char **argv)
{
        (void)signal(SIGPIPE, SIG_DFL); /* brickd --version | head -n 1 */
        (void)execv(spawn_executable(), argv);
        say("brickd: Cannot run %s: %s", spawn_executable(), strerror(errno));
        return EXIT_FAILURE;
}

/* brickd-worker tells the rest: it has the libraries that this process does without. */
static int print_version(char *program)
{
        char *argv[] = { program, (char *)"--version", NULL };

        version_print();
        return fflush(stdout) == 0 ? run_worker(argv) : EX_IOERR;
}

static int run(const struct arguments *arguments, char **argv)
{
        int status = EXIT_SUCCESS;

        switch (arguments->action) {
        case ACTION_SERVE:
                status = manager_run(arguments->file);
                log_close();
                break;
        case ACTION_CHECK:
                status = check_file(arguments->file);
                break;
        case ACTION_PRINT_CONFIG:
                status = print_config(arguments->file);
                break;
        case ACTION_PRINT_SCHEMA:
                status = conf_print_schema(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                break;
        case ACTION_RUN_WORKER:
                status = run_worker(argv);
                break;
        case ACTION_VERSION:
                status = print_version(argv[0]);
                break;
        case ACTION_HELP:
                print_help();
                break;
        }
        return status;
}

int main(int argc, char **argv)
{
        struct arguments arguments;
        int status;

        standard_open();
        if (!parse_arguments(&arguments, argc, argv))
                return EX_USAGE;
        (void)signal(SIGPIPE, SIG_IGN);
        status = run(&arguments, argv);
        return terminal_flush() ? status : EX_IOERR;
}

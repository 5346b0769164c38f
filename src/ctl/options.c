/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <grpc/grpc.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/nearest.h"
#include "conf/value.h"
#include "config.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "util/cleanup.h"
#include "util/version.h"

#define INTERVAL_MIN INT64_C(100000000) /* ns */
#define INTERVAL INT64_C(2000000000)

static const struct option_row rows[] = {
        { "address", 'a', OPTION_BIT_ADDRESS, "ADDRESS",
          "Call this address: HOST:PORT, unix:/PATH or unix:@NAME; default: from the "
          "configuration" },
        { "allow", 0, OPTION_BIT_ALLOW, "BRICK[/METHOD]",
          "Let the identity call this; either part may be *; repeatable" },
        { "brick", 0, OPTION_BIT_BRICK, "BRICK", "Set the level of this brick only" },
        { "config", 'c', OPTION_BIT_CONFIG, "FILE",
          "Configuration file; default: $BRICKD_CONFIG, otherwise " BRICKD_CONFIG_FILE },
        { "control", 0, OPTION_BIT_CONTROL, "PATH",
          "Control socket of brickd; default: from the configuration" },
        { "count", 'n', OPTION_BIT_COUNT, "N", "Exit after N updates; default: never" },
        { "expires", 0, OPTION_BIT_EXPIRES, "TIME",
          "Expiry: a duration (90d) or a date (2027-01-31); default: never" },
        { "file", 0, OPTION_BIT_FILE, "FILE",
          "File of identities; -: standard output; default: from the configuration" },
        { "group", 0, OPTION_BIT_GROUP, "GROUP",
          "Make the identity a member of this group, for bricks such as retrieval-fts; "
          "repeatable" },
        { "help", 'h', OPTION_BIT_HELP, NULL, "Show this help" },
        { "interval", 'i', OPTION_BIT_INTERVAL, "TIME",
          "Time between updates, such as 500ms or 5s; default: 2s" },
        { "json", 'j', OPTION_BIT_JSON, NULL, "Print JSON" },
        { "metadata", 'm', OPTION_BIT_METADATA, "KEY=VALUE",
          "Send this metadata with the request; repeatable" },
        { "module", 0, OPTION_BIT_MODULE, "MODULE",
          "Set the level of the bricks of this module only" },
        { "no-color", 0, OPTION_BIT_NO_COLOR, NULL, "Do not use colours" },
        { "quiet", 'q', OPTION_BIT_QUIET, NULL,
          "Do not print the result; see the exit status, or the log of brickd" },
        { "stream", 's', OPTION_BIT_STREAM, NULL, "Call OutputStreaming" },
        { "timeout", 't', OPTION_BIT_TIMEOUT, "TIME",
          "Time limit, such as 500ms, 30s or 5m; 0: none" },
        { "tls", 0, OPTION_BIT_TLS, NULL,
          "Use TLS; default: if the configuration has it for the port" },
        { "tls-ca", 0, OPTION_BIT_TLS_CA, "FILE",
          "Authorities that may issue the server's certificate; default: those of the system" },
        { "tls-cert", 0, OPTION_BIT_TLS_CERT, "FILE", "Client certificate" },
        { "tls-key", 0, OPTION_BIT_TLS_KEY, "FILE", "Private key of the client certificate" },
        { "tls-name", 0, OPTION_BIT_TLS_NAME, "NAME",
          "Name in the server's certificate; default: the host in the address" },
        { "token-file", 0, OPTION_BIT_TOKEN_FILE, "FILE",
          "File with the caller's token; default: $BRICKD_TOKEN" },
        { "tokens", 0, OPTION_BIT_TOKENS, "N/WINDOW",
          "Tokens of language models that the identity may use: 10k/minute, 1M/day or 20M/month; "
          "repeatable" },
        { "type", 0, OPTION_BIT_TYPE, "SERVICE",
          "Type of the brick, if brickctl cannot find it out" },
        { "version", 0, OPTION_BIT_VERSION, NULL, "Show the version, also of libraries" },
        { "wait", 'w', OPTION_BIT_WAIT, NULL, "Also wait until the replaced workers have exited" },
};

const struct option_row *options_row(size_t index)
{
        return index < ELEMENTSOF(rows) ? &rows[index] : NULL;
}

int ctl_error(int status, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        fputs("brickctl: ", stderr);
        output_text(stderr, text ?: "Out of memory");
        fputc('\n', stderr);
        return status;
}

static void print_version(void)
{
        puts("brickctl " BRICKD_VERSION);
        version_put_library("gRPC core", grpc_version_string(), BUILT_WITH_GRPC);
        version_put_library("jansson", jansson_version_str(), BUILT_WITH_JANSSON);
        version_put_library("OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING), BUILT_WITH_OPENSSL);
        version_put_library("protobuf-c", protobuf_c_version(), BUILT_WITH_PROTOBUF_C);
}

static void print_options(FILE *f, unsigned options)
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct option_row *row = &rows[i];
                char letter[] = { '-', row->letter, ',', '\0' };
                int width;

                if (!(options & row->bit))
                        continue;
                width = fprintf(f, "  %3s --%s%s%s", row->letter ? letter : "", row->name,
                                row->argument ? " " : "", row->argument ?: "");
                fprintf(f, "%*s  %s\n", width < 28 ? 28 - width : 0, "", row->help);
        }
}

void options_print_usage(FILE *f)
{
        fputs("Usage: brickctl [OPTION...] COMMAND [ARGUMENT...]\n\n"
              "Call the bricks of brickd, and control brickd.\n\n"
              "Commands:\n",
              f);
        for (const struct command *c = commands; c->name; c++)
                fprintf(f, "  %-10s  %s\n", c->name, c->help);
        fputs("\nOptions that may come before the command (see brickctl help COMMAND for "
              "others):\n",
              f);
        print_options(f, OPTION_BITS_GLOBAL);
        fputs("\nSee brickctl(1).\n", f);
}

void options_print_command(FILE *f, const struct command *command)
{
        fprintf(f, "Usage: brickctl %s%s%s%s\n\n%s.\n", command->name,
                command->options ? " [OPTION...]" : "", *command->arguments ? " " : "",
                command->arguments, command->help);
        if (strstr(command->arguments, "REQUEST"))
                fputs("\n"
                      "Without METHOD, the call is Unary. REQUEST is a text, or JSON with the\n"
                      "fields of the request, or - for standard input:\n"
                      "\n"
                      "  brickctl call echo 'hello'\n"
                      "  brickctl call shield '{\"text\": \"hello\"}' --json\n",
                      f);
        if (command->options) {
                fputs("\nOptions:\n", f);
                print_options(f, command->options);
        }
}

static const struct command *command_find(const char *name)
{
        struct nearest nearest = nearest_to(name);

        for (const struct command *c = commands; c->name; c++) {
                if (strcmp(c->name, name) == 0)
                        return c;
                nearest_offer(&nearest, c->name);
        }
        if (nearest.best)
                ctl_error(0, "Unknown command '%s'; did you mean '%s'?", name, nearest.best);
        else
                ctl_error(0, "Unknown command '%s'; see: brickctl help", name);
        return NULL;
}

static int parse_timeout(struct ctl *ctl, const char *text)
{
        if (value_parse_duration(text, &ctl->timeout) < 0)
                return ctl_error(
                        EX_USAGE,
                        "--timeout: expected a duration such as 500ms, 30s or 5m, got '%s'", text);
        return -1;
}

static int parse_interval(struct ctl *ctl, const char *text)
{
        if (value_parse_duration(text, &ctl->interval) < 0 || ctl->interval < INTERVAL_MIN)
                return ctl_error(EX_USAGE,
                                 "--interval: expected a duration of at least 100ms, got '%s'",
                                 text);
        return -1;
}

static int parse_count(struct ctl *ctl, const char *text)
{
        int64_t count;

        if (value_parse_int(text, &count) < 0 || count < 1 || count > UINT32_MAX)
                return ctl_error(EX_USAGE, "--count: expected a number of at least 1, got '%s'",
                                 text);
        ctl->count = (unsigned)count;
        return -1;
}

static int parse_metadata(struct ctl *ctl, char *text)
{
        char *value = strchr(text, '=');
        struct rpc_metadata *metadata;
        const char *error;

        if (!value)
                return ctl_error(EX_USAGE, "--metadata: expected KEY=VALUE, got '%s'", text);
        if (ctl->n_metadata == CTL_METADATA_MAX)
                return ctl_error(EX_USAGE, "--metadata: given more than %d times",
                                 CTL_METADATA_MAX);
        *value++ = '\0';
        metadata = &ctl->metadata[ctl->n_metadata++];
        *metadata = (struct rpc_metadata){ text, value };
        error = rpc_metadata_error(metadata);
        if (error)
                return ctl_error(EX_USAGE, "--metadata: '%s': %s", text, error);
        return -1;
}

static int take_tls_option(struct ctl *ctl, const char *value, const char **ret)
{
        ctl->tls.wanted = true;
        *ret = value;
        return -1;
}

/* An option that may be given up to `max` times. */
static int take_repeated(const char *option, const char *value, const char **list, size_t *n,
                         size_t max)
{
        if (*n == max)
                return ctl_error(EX_USAGE, "%s: given more than %zu times", option, max);
        list[(*n)++] = value;
        return -1;
}

static int take_option(struct ctl *ctl, enum option_bit bit, char *value)
{
        switch (bit) {
        case OPTION_BIT_ADDRESS:
                ctl->address = value;
                return -1;
        case OPTION_BIT_BRICK:
                ctl->brick = value;
                return -1;
        case OPTION_BIT_ALLOW:
                return take_repeated("--allow", value, ctl->allow, &ctl->n_allow, CTL_ALLOW_MAX);
        case OPTION_BIT_CONFIG:
                ctl->config = value;
                ctl->config_given = true;
                return -1;
        case OPTION_BIT_CONTROL:
                ctl->control = value;
                return -1;
        case OPTION_BIT_COUNT:
                return parse_count(ctl, value);
        case OPTION_BIT_EXPIRES:
                ctl->expires = value;
                return -1;
        case OPTION_BIT_FILE:
                ctl->file = value;
                return -1;
        case OPTION_BIT_GROUP:
                return take_repeated("--group", value, ctl->groups, &ctl->n_groups, CTL_GROUPS_MAX);
        case OPTION_BIT_HELP:
                ctl->help = true;
                return -1;
        case OPTION_BIT_INTERVAL:
                return parse_interval(ctl, value);
        case OPTION_BIT_JSON:
                ctl->json = true;
                return -1;
        case OPTION_BIT_METADATA:
                return parse_metadata(ctl, value);
        case OPTION_BIT_MODULE:
                ctl->module = value;
                return -1;
        case OPTION_BIT_NO_COLOR:
                ctl->no_color = true;
                return -1;
        case OPTION_BIT_QUIET:
                ctl->quiet = true;
                return -1;
        case OPTION_BIT_STREAM:
                ctl->stream = true;
                return -1;
        case OPTION_BIT_TIMEOUT:
                return parse_timeout(ctl, value);
        case OPTION_BIT_TLS:
                ctl->tls.wanted = true;
                return -1;
        case OPTION_BIT_TLS_CA:
                return take_tls_option(ctl, value, &ctl->tls.ca);
        case OPTION_BIT_TLS_CERT:
                return take_tls_option(ctl, value, &ctl->tls.certificate);
        case OPTION_BIT_TLS_KEY:
                return take_tls_option(ctl, value, &ctl->tls.key);
        case OPTION_BIT_TLS_NAME:
                return take_tls_option(ctl, value, &ctl->tls.name);
        case OPTION_BIT_TOKEN_FILE:
                ctl->token_file = value;
                return -1;
        case OPTION_BIT_TOKENS:
                return take_repeated("--tokens", value, ctl->tokens, &ctl->n_tokens,
                                     CTL_TOKENS_MAX);
        case OPTION_BIT_TYPE:
                ctl->type = value;
                return -1;
        case OPTION_BIT_VERSION:
                print_version();
                return CTL_OK;
        case OPTION_BIT_WAIT:
                ctl->wait = true;
                return -1;
        }

        return EX_USAGE;
}

/* Converts the rows in `options` for getopt_long(). Appends to `letters`, which holds its mode. */
static void make_getopt(unsigned options, struct option *longs, char *letters)
{
        letters += strlen(letters);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct option_row *row = &rows[i];

                if (!(options & row->bit))
                        continue;
                *longs++ = (struct option){ .name = row->name,
                                            .has_arg = row->argument ? required_argument
                                                                     : no_argument,
                                            .val = (int)(256 + i) };
                if (!row->letter)
                        continue;
                *letters++ = row->letter;
                if (row->argument)
                        *letters++ = ':';
        }
        *longs = (struct option){};
        *letters = '\0';
}

static const struct option_row *row_of(int value)
{
        if (value >= 256)
                return &rows[value - 256];
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].letter == value)
                        return &rows[i];
        return NULL;
}

/* mode: "+" or "", as for getopt. -1: optind is at the first argument; otherwise the exit status.
 */
static int parse(struct ctl *ctl, unsigned options, const char *mode, int argc, char **argv)
{
        struct option longs[ELEMENTSOF(rows) + 1];
        char letters[2 + 2 * ELEMENTSOF(rows)];
        int value, r;

        strcpy(letters, mode);
        make_getopt(options, longs, letters);
        optind = 0; /* in glibc: start again */
        while ((value = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
                const struct option_row *row = row_of(value);

                if (!row) /* getopt has reported the mistake */
                        return EX_USAGE;
                r = take_option(ctl, row->bit, optarg);
                if (r >= 0)
                        return r;
        }

        return -1;
}

static int parse_arguments(struct ctl *ctl, const struct command *command, int argc, char **argv)
{
        static char name[64];
        int r;

        ctl->arguments = argv + 1;
        ctl->n_arguments = (size_t)argc - 1;
        if (command->options == 0)
                return -1;

        /* The messages of getopt start with argv[0]. */
        (void)snprintf(name, sizeof name, "brickctl %s", command->name);
        argv[0] = name;
        r = parse(ctl, command->options, "", argc, argv);
        if (r >= 0)
                return r;
        if (ctl->help) {
                options_print_command(stdout, command);
                return CTL_OK;
        }
        ctl->arguments = argv + optind;
        ctl->n_arguments = (size_t)(argc - optind);
        if (ctl->n_arguments < command->min || ctl->n_arguments > command->max)
                return ctl_error(EX_USAGE, "Usage: brickctl %s [OPTION...] %s", command->name,
                                 command->arguments);
        return -1;
}

int options_parse(struct ctl *ctl, int argc, char **argv, const struct command **ret_command)
{
        const char *config = getenv("BRICKD_CONFIG");
        const struct command *command;
        int r;

        *ctl = (struct ctl){ .config = config && *config ? config : BRICKD_CONFIG_FILE,
                             .config_given = config && *config,
                             .timeout = -1,
                             .interval = INTERVAL };
        r = parse(ctl, OPTION_BITS_GLOBAL, "+", argc, argv);
        if (r >= 0)
                return r;
        if (optind == argc || ctl->help) {
                options_print_usage(ctl->help ? stdout : stderr);
                return ctl->help ? CTL_OK : EX_USAGE;
        }

        command = command_find(argv[optind]);
        if (!command)
                return EX_USAGE;
        r = parse_arguments(ctl, command, argc - optind, argv + optind);
        if (r >= 0)
                return r;
        *ret_command = command;

        return -1;
}

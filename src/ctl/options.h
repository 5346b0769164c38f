/* SPDX-License-Identifier: MIT */
#pragma once

/* The command line. Parsing, help and completion all work from the tables of commands and options.
 */

#include <stdio.h>

#include "ctl/ctl.h"

enum option_bit {
        OPTION_BIT_ADDRESS = 1 << 0,
        OPTION_BIT_CONFIG = 1 << 1,
        OPTION_BIT_CONTROL = 1 << 2,
        OPTION_BIT_HELP = 1 << 3,
        OPTION_BIT_JSON = 1 << 4,
        OPTION_BIT_METADATA = 1 << 5,
        OPTION_BIT_NO_COLOR = 1 << 6,
        OPTION_BIT_STREAM = 1 << 7,
        OPTION_BIT_TIMEOUT = 1 << 8,
        OPTION_BIT_TYPE = 1 << 9,
        OPTION_BIT_VERSION = 1 << 10,
        OPTION_BIT_WAIT = 1 << 11,
        OPTION_BIT_QUIET = 1 << 12,
        OPTION_BIT_TLS = 1 << 13,
        OPTION_BIT_TLS_CA = 1 << 14,
        OPTION_BIT_TLS_CERT = 1 << 15,
        OPTION_BIT_TLS_KEY = 1 << 16,
        OPTION_BIT_TLS_NAME = 1 << 17,
        OPTION_BIT_BRICK = 1 << 18,
        OPTION_BIT_MODULE = 1 << 19,
        OPTION_BIT_INTERVAL = 1 << 20,
        OPTION_BIT_COUNT = 1 << 21,
        OPTION_BIT_ALLOW = 1 << 22,
        OPTION_BIT_EXPIRES = 1 << 23,
        OPTION_BIT_FILE = 1 << 24,
        OPTION_BIT_TOKEN_FILE = 1 << 25,
        OPTION_BIT_TOKENS = 1 << 26,
        OPTION_BIT_GROUP = 1 << 27,
};

#define OPTION_BITS_TLS                                                                  \
        (OPTION_BIT_TLS | OPTION_BIT_TLS_CA | OPTION_BIT_TLS_CERT | OPTION_BIT_TLS_KEY | \
         OPTION_BIT_TLS_NAME)

/* Options that may come before the command, even if the command ignores them. */
#define OPTION_BITS_GLOBAL                                                               \
        (OPTION_BIT_ADDRESS | OPTION_BIT_CONFIG | OPTION_BIT_CONTROL | OPTION_BIT_HELP | \
         OPTION_BIT_JSON | OPTION_BIT_NO_COLOR | OPTION_BIT_TIMEOUT | OPTION_BIT_VERSION)

struct command {
        const char *name;
        const char *arguments; /* as the usage line shows them; the completion reads them, too */
        const char *help;
        int (*run)(struct ctl *ctl);
        unsigned options; /* OPTION_BIT_*; 0: passes all arguments to another program unread */
        size_t min;       /* of arguments */
        size_t max;
};

extern const struct command commands[]; /* a NULL name ends it */

struct option_row {
        const char *name;
        char letter; /* 0: none */
        enum option_bit bit;
        const char *argument; /* what the help calls its value; NULL: it takes none */
        const char *help;
};

/* The option at an index, from 0. NULL: there are no more. */
const struct option_row *options_row(size_t index);

void options_print_usage(FILE *f);
void options_print_command(FILE *f, const struct command *command);

/*
 * Parses the command line. -1: run *ret_command; otherwise the exit status, after an error message
 * or help.
 */
int options_parse(struct ctl *ctl, int argc, char **argv, const struct command **ret_command);

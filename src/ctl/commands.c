/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ctl/options.h"

#define SHOW (OPTION_BIT_HELP | OPTION_BIT_JSON | OPTION_BIT_NO_COLOR | OPTION_BIT_TIMEOUT)
#define CALL                                                                  \
        (SHOW | OPTION_BIT_ADDRESS | OPTION_BIT_CONFIG | OPTION_BIT_CONTROL | \
         OPTION_BIT_METADATA | OPTION_BIT_TOKEN_FILE | OPTION_BIT_TYPE | OPTION_BITS_TLS)
#define CONTROL (SHOW | OPTION_BIT_CONFIG | OPTION_BIT_CONTROL)

static int command_help(struct ctl *ctl);

const struct command commands[] = {
        { "call", "BRICK|SERVICE [METHOD] [REQUEST]", "Call a brick and print its answer",
          command_call, CALL | OPTION_BIT_STREAM, 1, 3 },
        { "explain", "BRICK [METHOD] [REQUEST]", "Call a brick and print what it did, step by step",
          command_explain, CALL | OPTION_BIT_STREAM, 1, 3 },
        { "info", "BRICK|SERVICE", "Print what a brick says about itself", command_info, CALL, 1,
          1 },
        { "health", "[BRICK|SERVICE]", "Check the health of a brick, a service or brickd",
          command_health,
          SHOW | OPTION_BIT_ADDRESS | OPTION_BIT_CONFIG | OPTION_BIT_CONTROL |
                  OPTION_BIT_TOKEN_FILE | OPTION_BITS_TLS,
          0, 1 },
        { "list", "", "List the bricks", command_list, CONTROL, 0, 0 },
        { "status", "", "Show the state of brickd: ports, workers and bricks", command_status,
          CONTROL },
        { "top", "", "Watch calls, failures and latency of the bricks", command_top,
          CONTROL | OPTION_BIT_INTERVAL | OPTION_BIT_COUNT },
        { "open", "", "Print the address of the page for browsers, and open it on a desktop",
          command_open,
          OPTION_BIT_HELP | OPTION_BIT_CONFIG | OPTION_BIT_CONTROL | OPTION_BIT_TIMEOUT, 0, 0 },
        { "reload", "", "Make brickd load its configuration again", command_reload,
          CONTROL | OPTION_BIT_QUIET | OPTION_BIT_WAIT },
        { "restart", "BRICK", "Restart the processes of a brick, one after the other",
          command_restart, CONTROL | OPTION_BIT_QUIET, 1, 1 },
        { "stop", "", "Stop brickd, as SIGTERM does", command_stop, CONTROL },
        { "log-level", "LEVEL", "Set the log level until the next reload or start",
          command_log_level, CONTROL | OPTION_BIT_BRICK | OPTION_BIT_MODULE, 1, 1 },
        { "check", "[FILE]", "Check a configuration without loading it", command_check,
          OPTION_BIT_HELP | OPTION_BIT_CONFIG, 0, 1 },
        { "token", "new NAME", "Create a token and its identity", command_token,
          OPTION_BIT_HELP | OPTION_BIT_CONFIG | OPTION_BIT_ALLOW | OPTION_BIT_EXPIRES |
                  OPTION_BIT_FILE | OPTION_BIT_GROUP | OPTION_BIT_TOKENS,
          2, 2 },
        { "identities", "", "List the identities, and what they have used of their tokens",
          command_identities, CONTROL, 0, 0 },
        { "index", "[ARGUMENT...]", "Build or update an index for retrieval-fts", command_index },
        { "train", "[ARGUMENT...]", "Train the model of guard-rules", command_train },
        { "help", "[COMMAND]", "Show help", command_help, OPTION_BIT_HELP, 0, 1 },
        {},
};

static int command_help(struct ctl *ctl)
{
        if (ctl->n_arguments == 0) {
                options_print_usage(stdout);
                return CTL_OK;
        }
        for (const struct command *c = commands; c->name; c++)
                if (strcmp(c->name, ctl->arguments[0]) == 0) {
                        options_print_command(stdout, c);
                        return CTL_OK;
                }
        return ctl_error(EX_USAGE, "Unknown command '%s'; see: brickctl help", ctl->arguments[0]);
}

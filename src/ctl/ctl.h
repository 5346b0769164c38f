/* SPDX-License-Identifier: MIT */
#pragma once

/* The command line, and what all commands share. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sysexits.h>

#include "ctl/rpc.h"

/* Exit statuses; the others are EX_USAGE (64) and EX_CONFIG (78) of sysexits.h. */
enum {
        CTL_OK = 0,
        CTL_FAILED = 1, /* the brick, or brickd, answered with an error */
        CTL_UNREACHABLE =
                2, /* no answer: a gRPC status other than OK, no connection, or a timeout */
};

#define CTL_METADATA_MAX 32
#define CTL_ALLOW_MAX 64
#define CTL_GROUPS_MAX 64
#define CTL_TOKENS_MAX 3

/* All strings are argv's or the environment's. */
struct ctl {
        const char *config; /* the configuration file */
        bool config_given;  /* the user has named the file; otherwise it may be missing */
        const char *address;
        const char *control; /* the control socket; NULL: the configuration's */
        const char *type;
        struct {
                bool wanted;
                const char *ca;
                const char *certificate;
                const char *key;
                const char *name;
        } tls;
        const char *brick; /* of log-level; NULL: not given */
        const char *module;
        int64_t timeout;  /* ns; 0: none; -1: as the command has it */
        int64_t interval; /* ns */
        unsigned count;   /* 0: for ever */
        const char *token_file;
        const char *file;    /* of identities */
        const char *expires; /* of a new identity */
        const char *allow[CTL_ALLOW_MAX];
        size_t n_allow;
        const char *groups[CTL_GROUPS_MAX];
        size_t n_groups;
        const char *tokens[CTL_TOKENS_MAX]; /* "10k/minute" */
        size_t n_tokens;
        struct rpc_metadata metadata[CTL_METADATA_MAX];
        size_t n_metadata;
        bool json;
        bool no_color;
        bool quiet;
        bool stream;
        bool wait;
        bool help;

        /* what follows the options */
        char **arguments;
        size_t n_arguments;
};

/* The --timeout of the user, otherwise that of the command. In ns; 0: none. */
static inline int64_t ctl_timeout(const struct ctl *ctl, uint64_t fallback)
{
        return ctl->timeout >= 0 ? ctl->timeout : (int64_t)fallback;
}

/* Prints "brickctl: ..." to stderr and returns status, for `return ctl_error(EX_USAGE, ...)`. */
int ctl_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes the metadata `authorization` of a call from the user's token; the caller frees it. NULL:
 * there is no token. CTL_OK, or the exit status after an error message. */
int ctl_authorization(const struct ctl *ctl, char **ret);

/* The commands. Each returns the exit status. */
int command_call(struct ctl *ctl);
int command_info(struct ctl *ctl);
int command_explain(struct ctl *ctl);

/* As command_call(), with the key for which a pipeline says what its steps have done. */
int call_explained(const struct ctl *ctl, const char *key);
int command_health(struct ctl *ctl);
int command_identities(struct ctl *ctl);
int command_list(struct ctl *ctl);
int command_status(struct ctl *ctl);
int command_top(struct ctl *ctl);
int command_open(struct ctl *ctl);
int command_reload(struct ctl *ctl);
int command_restart(struct ctl *ctl);
int command_stop(struct ctl *ctl);
int command_log_level(struct ctl *ctl);
int command_check(struct ctl *ctl);
int command_token(struct ctl *ctl);
int command_index(struct ctl *ctl);
int command_train(struct ctl *ctl);

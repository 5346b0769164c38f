/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The options of a brick whose module is `process` or `python`, and what they say is to be run. The
 * main process makes a specification of them and runs it; a worker only checks the options.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "util/cleanup.h"

#define PROCESSES_MAX 16 /* of one brick: workers have so many rows for backends */

extern const struct option_spec process_options[];
extern const struct option_spec python_options[];

struct process_spec {
        char **argv;        /* ends with NULL; the program is an absolute path */
        char **environment; /* "NAME=VALUE", ends with NULL; may hold secrets */
        char *directory;    /* the working directory, absolute */
        char *user;         /* NULL: that of brickd */
        uid_t uid;          /* of the user */
        gid_t gid;
        unsigned count;        /* of processes */
        bool notifies;         /* it is ready when it says READY=1, not when it can be connected */
        int64_t start_timeout; /* ns */
        int64_t hang_timeout;  /* ns; 0: silence does not matter */
        int64_t grace;         /* ns from SIGTERM to SIGKILL */
        int64_t memory;        /* bytes of one process; 0: no limit */
        unsigned processes;    /* of the user; 0: no limit */
        unsigned files;        /* that one process may open; 0: no limit */
        uint64_t source;       /* changes when a file changes that the program is made of */
};

/* The table of options of a brick that is a process; NULL: it is a module. */
const struct option_spec *process_table(const struct conf_brick *brick);

/*
 * Makes the specification of a brick for which process_table() is not NULL. Looks at the files, the
 * user and the secrets, and adds mistakes about them to diag. -EINVAL: there are some, or the
 * options do not follow the table, which is not added, because the worker finds it as well.
 * -ENOMEM.
 */
int process_spec_new(struct process_spec **ret, struct conf *conf, const struct conf_brick *brick,
                     struct diag *diag);

/* Both run the same: a process of one need not be replaced for the other. */
bool process_spec_equal(const struct process_spec *a, const struct process_spec *b);

/* Erases the environment. */
struct process_spec *process_spec_free(struct process_spec *spec);
DEFINE_CLEANUP(struct process_spec *, process_spec_free);

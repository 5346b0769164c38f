/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One version of the configuration file and the workers that serve it. The file is read once, so
 * that a restarted worker gets the same bytes as the first one.
 *
 *   state      begins with              ends with                        a worker that dies
 *   ---------  -----------------------  -------------------------------  ------------------------
 *   STARTING   generation_start()       all workers ready: ops.ready     fails the generation
 *   SERVING    ops.ready                retire or stop                   is restarted
 *   ENDING     _retire(), _stop()       last worker exited: ops.ended    is not replaced
 *   FAILED     a worker failed          last worker exited: ops.failed   is not replaced
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/reasons.h"
#include "manager/sockets.h"
#include "manager/workers.h"
#include "util/cleanup.h"

struct conf;
struct crew;
struct diag;
struct generation;
struct identities_source;
struct identity_text;
struct process_spec;
struct programs;
struct supervisor;
struct tally;

enum generation_state {
        GENERATION_NEW,
        GENERATION_STARTING,
        GENERATION_SERVING,
        GENERATION_ENDING,
        GENERATION_FAILED,
};

struct generation_ops {
        void (*ready)(struct generation *g, void *user);
        void (*failed)(struct generation *g, void *user);  /* may free it */
        void (*ended)(struct generation *g, void *user);   /* may free it */
        void (*changed)(struct generation *g, void *user); /* while SERVING: a worker died or became
                                                              ready again */
        void (*answered)(struct generation *g, void *user); /* a worker answered workers_query() */
};

struct generation {
        unsigned number;
        enum generation_state state;
        struct processes *processes;
        struct tally *tally; /* gets what dead workers have counted; NULL: nobody wants it */
        struct supervisor *supervisor; /* NULL: with `check`, which starts no processes of bricks */
        const struct generation_ops *ops;
        void *user;
        struct generation *next; /* for the owner's list */

        char *name;
        char *label; /* the name made fit for terminals and logs: utf8_clean() */
        char *bytes;
        size_t length;
        struct diag *diag;
        bool parsed;       /* the file itself is sound: what is in diag is about files it names */
        struct conf *conf; /* NULL: there are mistakes; a worker looks for more of them */
        struct identities_source *identities; /* NULL: the configuration names none */
        struct identity_text *identity_text;  /* the part of them that its workers read */
        struct process_spec **specs; /* one for each brick; NULL: it is a module, or it runs */
        struct programs *programs;   /* how their processes are: its workers read it */
        struct crew *crew;           /* NULL: there are none */
        bool check; /* --check: one worker builds everything and exits; ENDING follows STARTING */
        bool stopping; /* generation_stop() has been called */
        struct sockets sockets;
        struct workers workers;

        /* GENERATION_FAILED: why, and the exit status for it. */
        struct reasons reasons;
        int exit_status;
};

/* name is copied; processes, ops and user must outlive the generation. */
int generation_new(struct generation **ret, const char *name, unsigned number,
                   struct processes *processes, const struct generation_ops *ops, void *user);
struct generation *generation_free(struct generation *g);
DEFINE_CLEANUP(struct generation *, generation_free);

/*
 * Reads the file. Mistakes in it are no failure yet: generation_start() lets a worker look for more
 * of them. If the file cannot be read, that is a failure, and the reasons say why.
 */
int generation_load(struct generation *g);

/*
 * Opens the sockets that `previous` (may be NULL) does not have, and starts the workers. After a
 * negative errno the reasons say why, no callback comes, and the owner frees it.
 */
int generation_start(struct generation *g, const struct generation *previous,
                     const struct inherited *inherited);

/*
 * A newer generation serves: releases the sockets, and lets the workers serve their connections for
 * `drain.retire`. If no worker runs, ops.ended comes before this returns; so it does in
 * generation_stop().
 */
void generation_retire(struct generation *g);

/* Times are nanoseconds. grace: for running calls; limit: after that workers are killed. */
void generation_stop(struct generation *g, uint64_t grace, uint64_t limit);

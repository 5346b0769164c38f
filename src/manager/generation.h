/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One reading of the configuration file, and the workers that serve it. Its bytes are read once: a
 * worker that is started again gets what the first one got.
 *
 *   state      begins with              ends with                      a worker that dies
 *   ---------  -----------------------  -----------------------------  ----------------------------
 *   STARTING   generation_start()       all ready: ops.ready           fails the generation
 *   SERVING    ops.ready                retire or stop                 is started again
 *   LEAVING    _retire(), _stop()       the last worker: ops.ended      is one less
 *   FAILED     a worker failed          the last worker: ops.failed    is one less
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/process.h"
#include "util/cleanup.h"

struct balance;
struct conf;
struct diag;
struct generation;
struct identities_source;
struct identity_text;
struct inherited;
struct socket;
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
        void (*changed)(struct generation *g, void *user); /* a worker has died, or serves again */
        void (*answered)(struct generation *g, void *user);
};

struct slot { /* the place of one worker */
        struct generation *generation;
        unsigned index;
        struct process *process; /* NULL: none now */
        sd_event_source *again;  /* until there is one */
        unsigned failures;       /* in a row */
        unsigned restarts;
};

struct generation {
        unsigned number;
        enum generation_state state;
        struct processes *processes;
        struct tally *tally; /* gets what its workers have counted; NULL: nobody does */
        const struct generation_ops *ops;
        void *user;
        struct generation *next; /* the owner's */

        char *name;
        char *label; /* the same, for people: made harmless */
        char *bytes;
        size_t length;
        struct diag *diag;
        bool parsed;       /* what is in diag is not in the file itself */
        struct conf *conf; /* NULL: there are mistakes; a worker looks for more of them */
        struct identities_source *identities; /* NULL: the configuration names none */
        struct identity_text *identity_text;  /* what its workers read of them */
        bool check;              /* one worker that builds and goes: LEAVING follows STARTING */
        struct socket **sockets; /* one per port */
        size_t n_sockets;
        struct socket *metrics;  /* NULL: the configuration wants none */
        struct balance *balance; /* of its workers' connections */
        struct slot *slots;
        size_t n_slots;
        bool stopping;
        bool silent; /* a worker had to be killed for its silence; none has answered since */

        /* Levels that brickctl has set; 0: as the configuration says. */
        int log_level;
        int *brick_log_levels; /* one per brick; NULL: all 0 */

        /* GENERATION_FAILED: why, a text each, and the exit status that says so */
        char **reasons;
        size_t n_reasons;
        int exit_status;
};

int generation_new(struct generation **ret, const char *name, unsigned number,
                   struct processes *processes, const struct generation_ops *ops, void *user);
struct generation *generation_free(struct generation *g);
DEFINE_CLEANUP(struct generation *, generation_free);

/*
 * Reads the file. Mistakes in it do not fail yet: a worker may know more of them. A file that
 * cannot be read does; the reasons say so.
 */
int generation_load(struct generation *g);

/*
 * Opens the sockets that `previous` (may be NULL) does not have, and starts the workers. On a
 * negative errno the reasons say why, nothing will be called, and all that is left is to free it.
 */
int generation_start(struct generation *g, const struct generation *previous,
                     const struct inherited *inherited);

/* A newer one serves: give up the sockets it does not have, let the workers drain. */
void generation_retire(struct generation *g);

/* Times are nanoseconds. At once if no worker is left: ops.ended is then called before they return.
 */
void generation_stop(struct generation *g, uint64_t grace, uint64_t limit);
void generation_cancel(struct generation *g, uint64_t limit);

/* generation_stop() has been called, and workers are left. */
bool generation_is_stopping(const struct generation *g);

/* Asks all workers how they are; ops.answered comes with each answer. */
void generation_query(struct generation *g);
bool generation_awaits_answer(const struct generation *g);

/*
 * Kills serving workers that have left a question open for so long, `late` not counted (both
 * nanoseconds). False: no worker answers, and none is on its way. Workers that crash are no reason:
 * they are started again, and a main process that is started again can do no more.
 */
bool generation_reap_silent(struct generation *g, uint64_t interval, uint64_t late);
size_t generation_count_ready(const struct generation *g);

/*
 * Sets the level of the log: of one brick, of all bricks made from a module, or, if both are NULL,
 * of all lines that have no level of their own. Workers that start later get it, too. -ENOENT:
 * there is no such brick.
 */
int generation_set_log_level(struct generation *g, enum log_level level, const char *brick,
                             const char *module);

/* All reasons, a line each. */
int generation_explain(const struct generation *g, char **ret);

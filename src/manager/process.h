/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One worker, as a process: from its start until it has been reaped.
 *
 *   state      begins with            ends with                      has this long, then SIGKILL
 *   ---------  ---------------------  -----------------------------  -----------------------------
 *   STARTING   process_new()          it is ready, stop or exit      start timeout
 *   READY      it is ready            retire, stop, abort or exit    for ever
 *   RETIRING   process_retire()       stop or exit                   its last connections' time
 *   STOPPING   process_stop(),        exit                           the hard limit of a stop
 *              process_abort()
 *   GONE       exit                   process_free()
 *
 * Nothing is logged here: process_epitaph() describes the end in one line. A worker says numbers
 * (shared/state.h); the words are made here, so that it cannot name a brick that is not its own.
 * Only a worker that fails to start sends text, and that is bounded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "manager/spawn.h"
#include "util/cleanup.h"
#include "util/log.h"

struct conf;
struct process;
struct processes;
struct state;

enum process_state {
        PROCESS_STARTING,
        PROCESS_READY,
        PROCESS_RETIRING,
        PROCESS_STOPPING,
        PROCESS_GONE,
};

const char *process_state_to_string(enum process_state state);

struct process_ops {
        void (*ready)(struct process *process, void *user);
        void (*answered)(struct process *process, void *user);
        void (*gone)(struct process *process, void *user); /* may free it */
};

struct process {
        struct processes *processes;
        struct process *next; /* of all processes */
        const struct process_ops *ops;
        void *user;

        pid_t pid;
        int channel;
        const struct conf *conf; /* NULL: it has mistakes; the worker looks for more of them */
        struct state *shared;    /* what it says, and what it is told */
        struct stats *stats;     /* what it counts */
        uint32_t quota_row;      /* QUOTA_WORKERS: none */
        sd_event_source *io;
        sd_event_source *deadline; /* of the present state */
        enum process_state state;
        uint64_t start_timeout;
        uint64_t since; /* clock_now() of its start, */
        uint64_t ready; /* when it was; 0: never was */

        uint32_t question; /* the number of the last one */
        uint64_t asked;    /* clock_now() of a question that it has not answered yet; 0: none */
        bool answered;     /* it has answered one; then it had: */
        unsigned connections;
        unsigned in_flight;

        /* How it ended: waitid()'s code and status; what it was doing when its time was up. */
        int exit_code;
        int exit_status;
        bool overdue;
        enum process_state overdue_in;
        bool aborted; /* it did not answer */
        bool deaf;    /* it has closed its end of the channel */

        /* Why it cannot start, in its own words; NULL: it has not said so. */
        char *failed;
        char **diagnostics;
        size_t n_diagnostics;
        size_t n_left_out; /* diagnostics that were too many */
        size_t text_size;  /* of all of them, bytes */
};

/* Reaps every process of this process: its workers, and as PID 1 whatever else has been left to it.
 */
int processes_new(struct processes **ret, sd_event *event);

/* What all of them share to count what identities do; a descriptor of shared/quota.h. */
int processes_quota(const struct processes *processes);
struct processes *processes_free(struct processes *processes);
DEFINE_CLEANUP(struct processes *, processes_free);
sd_event *processes_event(struct processes *processes);

/* Times are nanoseconds. conf (may be NULL), ops and user live as long as the process.
 * spawn->quota_row is chosen here. */
int process_new(struct process **ret, struct processes *processes, struct spawn *spawn,
                const struct conf *conf, uint64_t start_timeout, const struct process_ops *ops,
                void *user);

/* Kills it and waits for it if need be; nothing is called. */
struct process *process_free(struct process *process);
DEFINE_CLEANUP(struct process *, process_free);

void process_query(struct process *process);

/* Levels of the log: of all lines, and one for each brick (may be NULL). 0: as configured. */
void process_log_levels(struct process *process, int level, const int *bricks);

/* There is something new in the memory that it shares with others. */
void process_wake(struct process *process);
void process_retire(struct process *process, uint64_t limit);
void process_stop(struct process *process, uint64_t grace, uint64_t limit);
void process_cancel(struct process *process, uint64_t limit);

/* It does not answer: leave a core dump. */
void process_abort(struct process *process);
void process_kill(struct process *process);

/* It is gone because it did not answer: not when it was writing the core dump of a crash. */
bool process_was_silent(const struct process *process);

/* The brick that holds its polling thread, or NULL. */
const char *process_stuck(const struct process *process);

/* The brick that the end is to be blamed on, or NULL. */
const char *process_blames(const struct process *process);

/* "died of SIGSEGV in brick 'x'", "exited with status 1"... */
int process_epitaph(const struct process *process, char **ret);

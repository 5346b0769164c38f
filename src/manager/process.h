/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A worker process, from its start until it has been reaped.
 *
 *   state      begins with            ends with                      killed with SIGKILL after
 *   ---------  ---------------------  -----------------------------  -----------------------------
 *   STARTING   process_new()          ready, stop or exit            the start timeout
 *   READY      the worker reports it  retire, stop, abort or exit    never
 *   RETIRING   process_retire()       stop or exit                   the limit of process_retire()
 *   STOPPING   process_stop(),        exit                           the limit of process_stop();
 *              process_abort()                                       ABORT_TIME
 *   EXITED     it has been reaped     process_free()
 *
 * Nothing is logged here: process_epitaph() describes the end in one line. A worker reports numbers
 * (shared/state.h), and the texts are made here from its configuration, so that it cannot blame a
 * brick that is not its own. Only a worker that fails to start sends texts, of a bounded size.
 */

#include <signal.h>
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
struct quota;
struct state;

enum process_state {
        PROCESS_STARTING,
        PROCESS_READY,
        PROCESS_RETIRING,
        PROCESS_STOPPING,
        PROCESS_EXITED,
};

const char *process_state_to_string(enum process_state state);

struct process_ops {
        void (*ready)(struct process *process, void *user);
        void (*answered)(struct process *process, void *user);
        void (*exited)(struct process *process, void *user); /* may free the process */
};

struct process {
        struct processes *processes;
        struct process *next; /* in the list of processes */
        const struct process_ops *ops;
        void *user;

        pid_t pid;
        int channel;
        const struct conf *conf; /* NULL: it has mistakes; the worker looks for more of them */
        struct state *shared;    /* what the worker reports, and its orders */
        struct stats *stats;     /* what the worker counts */
        uint32_t quota_row;      /* QUOTA_WORKERS: none */
        sd_event_source *io;
        sd_event_source *deadline; /* of the present state */
        enum process_state state;
        uint64_t start_timeout; /* ns */
        uint64_t since;         /* clock_now() of its start */
        uint64_t ready;         /* clock_now() of when it became ready; 0: it never did */

        uint32_t question; /* the number of the last one */
        uint64_t asked;    /* clock_now() of a question without an answer yet; 0: there is none */
        bool answered;     /* it has answered a question; this was its last answer: */
        unsigned connections;
        unsigned in_flight;

        /* How it ended. */
        int exit_code; /* waitid()'s si_code and si_status */
        int exit_status;
        bool overdue; /* its time was over in the state overdue_in, and it was killed */
        enum process_state overdue_in;
        bool aborted; /* by process_abort() */
        bool deaf;    /* it has closed its end of the channel */

        /* Why it cannot start, as it says itself; NULL: it has not said so. */
        char *failed;
        char **diagnostics; /* the mistakes that it has found */
        size_t n_diagnostics;
        size_t n_left_out; /* diagnostics that were not kept: there were too many */
        size_t text_size;  /* bytes of all these texts */
};

/* Reaps every child process: the workers, and, if brickd is PID 1, also orphans. Blocks SIGCHLD. */
int processes_new(struct processes **ret, sd_event *event);

/* exited() is told of every child that is no worker, before it is reaped: its number cannot be that
 * of another process yet. NULL: nobody is. */
void processes_watch_others(struct processes *processes,
                            void (*exited)(const siginfo_t *info, void *user), void *user);

/* The limits of identities, which all workers share. */
struct quota *processes_quota(const struct processes *processes);

/* The key that all workers have, drawn when brickd started. */
const struct explain_key *processes_explain_key(const struct processes *processes);
struct processes *processes_free(struct processes *processes);
DEFINE_CLEANUP(struct processes *, processes_free);
sd_event *processes_event(struct processes *processes);

/* Starts a worker. start_timeout: ns. conf (may be NULL), ops and user must outlive the process;
 * spawn is needed for the call only, and its quota_row and explain_key are set here. */
int process_new(struct process **ret, struct processes *processes, struct spawn *spawn,
                const struct conf *conf, uint64_t start_timeout, const struct process_ops *ops,
                void *user);

/* Kills and reaps a process that runs. No callback comes. */
struct process *process_free(struct process *process);
DEFINE_CLEANUP(struct process *, process_free);

/* Asks the worker for its numbers; ops.answered comes with the answer. */
void process_query(struct process *process);

/* Sets log levels: of the log as a whole, and one for each brick (may be NULL). 0: leave it. */
void process_log_levels(struct process *process, int level, const int *bricks);

/* Tells the worker that something in shared memory has changed. */
void process_wake(struct process *process);

/* Times are ns: after the limit the process is killed. Cancel only makes the limit earlier. */
void process_retire(struct process *process, uint64_t limit);
void process_stop(struct process *process, uint64_t grace, uint64_t limit);
void process_cancel(struct process *process, uint64_t limit);

/* Ends a worker that does not answer, with SIGABRT for a core dump. */
void process_abort(struct process *process);
void process_kill(struct process *process);

/* It ended because of process_abort(). False if it had crashed, and was silent because the kernel
 * wrote its core dump. */
bool process_was_silent(const struct process *process);

/* The name of the brick that holds its polling thread, or NULL. */
const char *process_stuck(const struct process *process);

/* The name of the brick to blame for its end, or NULL. */
const char *process_blames(const struct process *process);

/* How it ended: "died of SIGSEGV in brick 'x'", "exited with status 1". free() it. 0 or -ENOMEM. */
int process_epitaph(const struct process *process, char **ret);

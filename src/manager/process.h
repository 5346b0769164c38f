/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One worker, as a process: from its start until it has been reaped.
 *
 *   state      begins with            ends with                      has this long, then SIGKILL
 *   ---------  ---------------------  -----------------------------  -----------------------------
 *   STARTING   process_new()            CHANNEL_READY, stop or exit    start timeout
 *   READY      CHANNEL_READY          retire, stop, abort or exit    for ever
 *   RETIRING   process_retire()         stop or exit                   its last connections' time
 *   STOPPING   process_stop(), _abort() exit                           the hard limit of a stop
 *   GONE       exit                   process_free()
 *
 * Silent: what happened is in the struct, and process_epitaph() says it in a line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "manager/spawn.h"
#include "util/cleanup.h"
#include "util/log.h"

struct process;
struct processes;

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
        void (*answered)(struct process *process, void *user); /* there is a new process.status */
        void (*gone)(struct process *process, void *user);     /* may free it */
};

struct process {
        struct processes *processes;
        struct process *next; /* of all processes */
        const struct process_ops *ops;
        void *user;

        pid_t pid;
        int channel;
        struct stats *stats; /* what it counts */
        sd_event_source *io;
        sd_event_source *deadline; /* of the present state */
        enum process_state state;
        uint64_t start_timeout;
        uint64_t since; /* clock_now() of its start, */
        uint64_t ready; /* of CHANNEL_READY; 0: never was */
        uint64_t asked; /* of a query that it has not answered yet; 0: none */

        /* How it ended: waitid()'s code and status; what it was doing when its time was up. */
        int exit_code;
        int exit_status;
        bool overdue;
        enum process_state overdue_in;
        bool aborted; /* it did not answer */

        /* The last that the worker has said of each kind; NULL: nothing. */
        char *creating;
        char *crashed;
        char *failed;
        char *held;
        char *status; /* a JSON object */
        char *stuck;
        char **diagnostics;
        size_t n_diagnostics;
};

/* Reaps every process of this process: its workers, and as PID 1 whatever else has been left to it.
 */
int processes_new(struct processes **ret, sd_event *event);

/* What all of them share to count what identities do; a descriptor of shared/quota.h. */
int processes_quota(const struct processes *processes);
struct processes *processes_free(struct processes *processes);
DEFINE_CLEANUP(struct processes *, processes_free);
sd_event *processes_event(struct processes *processes);

/* Times are nanoseconds. ops and user live as long as the process. */
int process_new(struct process **ret, struct processes *processes, const struct spawn *spawn,
                uint64_t start_timeout, const struct process_ops *ops, void *user);

/* Kills it and waits for it if need be; nothing is called. */
struct process *process_free(struct process *process);
DEFINE_CLEANUP(struct process *, process_free);

void process_query(struct process *process);
void process_log_level(struct process *process, enum log_level level, const char *brick);

/* A negative errno: the main process is short of something; try again. A worker that cannot be told
 * for another reason is killed: the next one gets them, and nobody is let in who must not be. */
int process_identities(struct process *process, const char *bytes, size_t length);

void process_retire(struct process *process, uint64_t limit);
void process_stop(struct process *process, uint64_t grace, uint64_t limit);
void process_cancel(struct process *process, uint64_t limit);

/* It does not answer: leave a core dump. */
void process_abort(struct process *process);
void process_kill(struct process *process);

/* It is gone because it did not answer: not when it was writing the core dump of a crash. */
bool process_was_silent(const struct process *process);

/* The brick that the end is to be blamed on, or NULL. */
const char *process_blames(const struct process *process);

/* "died of SIGSEGV in brick 'x'", "exited with status 1"... */
int process_epitaph(const struct process *process, char **ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The workers of one generation: one slot each, in which a worker that has died is restarted.
 * Embedded in the generation, which decides what the death of a worker means.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/process.h"

struct balance;
struct conf;
struct tally;
struct workers;

struct slot {
        struct workers *workers;
        unsigned index;
        struct process *process; /* NULL: none runs */
        sd_event_source *timer;  /* starts the next one; NULL: none is scheduled */
        unsigned failures;       /* in a row; the delay before a restart grows with them */
        unsigned restarts;
};

struct workers_ops {
        void (*ready)(struct workers *workers, void *user);
        void (*answered)(struct workers *workers, void *user);

        /* A worker has exited, and its slot is empty. May free the workers; `dead` is freed next.
         */
        void (*exited)(struct slot *slot, const struct process *dead, void *user);
};

struct workers {
        /* Set by the owner before workers_start(); conf and what spawn points to must outlive it.
         */
        const struct workers_ops *ops;
        void *user;
        struct processes *processes;
        const struct conf *conf; /* NULL: it has mistakes, and a worker looks for more of them */
        uint64_t start_extra; /* ns that a worker may take to start besides conf->start_timeout */
        struct tally *tally;  /* gets what a dead worker has counted; NULL: nobody wants it */
        struct spawn spawn;   /* what all workers get; the rest is set per worker */

        struct balance *balance;
        struct slot *slots;
        size_t n;
        bool silent; /* a worker was killed for its silence, and none has answered since */

        /* Log levels that brickctl has set; 0: as configured. */
        int log_level;
        int *brick_log_levels; /* one per brick; NULL: all 0 */
};

/* After a negative errno some may run: workers_done() kills them. */
int workers_start(struct workers *workers, size_t n);
void workers_done(struct workers *workers);

/* Restarts the worker of a slot, now or after a delay, and logs why the last one died. */
void slot_restart(struct slot *slot, const struct process *dead);

/* Logs how a worker ended that is not restarted, unless it ended as it should. */
void slot_log_end(const struct slot *slot, const struct process *dead);

/* Times are nanoseconds. After retire or stop no worker is restarted. */
void workers_retire(struct workers *workers, uint64_t limit);
void workers_stop(struct workers *workers, uint64_t grace, uint64_t limit);
void workers_cancel(struct workers *workers, uint64_t limit);
void workers_kill(struct workers *workers);

/* Tells them that something in the memory they share has changed. */
void workers_wake(struct workers *workers);

size_t workers_count_running(const struct workers *workers);
size_t workers_count_ready(const struct workers *workers);

/* Asks all workers for their numbers; ops.answered comes with each answer. */
void workers_query(struct workers *workers);
bool workers_await_answer(const struct workers *workers);

/*
 * Kills ready workers that have not answered a question for `interval`; `late` is how long the main
 * process itself was held up (both nanoseconds). False: no worker answers, and none is starting.
 * Workers that crash do not make it false: they are restarted, which is all that a restart of the
 * main process could do.
 */
bool workers_reap_silent(struct workers *workers, uint64_t interval, uint64_t late);

/*
 * Sets the level of the log: of one brick, of all bricks made from a module, or, if both are NULL,
 * of all lines that have no level of their own. Workers that start later get it, too. -ENOENT:
 * there is no such brick.
 */
int workers_set_log_level(struct workers *workers, enum log_level level, const char *brick,
                          const char *module);

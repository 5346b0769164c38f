/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The processes of all bricks `process` and `python`. What one brick runs is a pool, which all
 * generations share that want exactly the same of it; it ends when none does any more. What one
 * generation uses is its crew. Main thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "conf/process.h"
#include "util/cleanup.h"

struct conf;
struct crew;
struct pool;
struct processes;
struct program;
struct supervisor;

struct supervisor_ops {
        /* The last process of all has ended. */
        void (*ended)(void *user);

        /* A pool has been restarted as crew_restart() asked. why: NULL, or why it has not. */
        void (*restarted)(const char *brick, const char *why, void *user);
};

int supervisor_new(struct supervisor **ret, struct processes *processes,
                   const struct supervisor_ops *ops, void *user);

/* Kills and reaps what runs. */
struct supervisor *supervisor_free(struct supervisor *supervisor);
DEFINE_CLEANUP(struct supervisor *, supervisor_free);

/* There is no process. */
bool supervisor_is_idle(const struct supervisor *supervisor);

/* From now on what is not wanted any more is killed, without its grace. */
void supervisor_cut(struct supervisor *supervisor);

/* The longest grace of all processes, in ns. */
uint64_t supervisor_grace(const struct supervisor *supervisor);

struct pool {
        struct pool *next;
        struct supervisor *supervisor;
        char *brick;
        struct process_spec *spec;
        char *folder;
        int log_level;  /* of the brick, as the newest generation has it; 0: that of the log */
        bool trial;     /* no generation serves with it yet: failures are those of the generation */
        unsigned n_ref; /* the crews that use it */
        struct program **programs; /* as many as spec->count */
        bool restarting;           /* one after the other, up to this one */
        size_t restarted;
};

/* Of all pools, also those that end: the next one; NULL gives the first, and follows the last. */
const struct pool *supervisor_each(const struct supervisor *supervisor, const struct pool *pool);

/* --- for crew.c ---------------------------------------------------------------------------------
 */

/* Finds or makes the pool, and starts it. Takes the spec. */
int pool_get(struct pool **ret, struct supervisor *supervisor, const char *brick, int log_level,
             struct process_spec **spec);
void pool_release(struct pool *pool);

/* -EBUSY: it is being restarted. */
int pool_restart(struct pool *pool);

void supervisor_add_crew(struct supervisor *supervisor, struct crew *crew);
void supervisor_remove_crew(struct supervisor *supervisor, struct crew *crew);

/* SPDX-License-Identifier: MIT */
#pragma once

/* The processes that one generation uses, and what its workers are told of them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/supervisor.h"
#include "util/cleanup.h"

struct programs;

struct crew_ops {
        /* What the workers can read has changed. */
        void (*changed)(struct crew *crew, void *user);

        /* A process could not be started before crew_serve(). Neither may free the crew. */
        void (*failed)(struct crew *crew, const char *why, void *user);
};

/*
 * Starts the processes. specs: one for each brick of conf, NULL for a brick that is a module; they
 * are taken. programs: what the workers read, made for as many processes as the specs have. It,
 * conf, ops and user must outlive the crew. No callback comes before this has returned.
 */
int crew_new(struct crew **ret, struct supervisor *supervisor, const struct conf *conf,
             struct process_spec **specs, struct programs *programs, const struct crew_ops *ops,
             void *user);

/* The processes end unless another crew uses them as well. */
struct crew *crew_free(struct crew *crew);
DEFINE_CLEANUP(struct crew *, crew_free);

/* How long the processes that are not ready may take for it, in ns; 0: all are. */
uint64_t crew_start_timeout(const struct crew *crew);

/* The generation serves: from now on a process that dies is only started again. */
void crew_serve(struct crew *crew);

/* Restarts the processes of a brick, one after the other. *ret_n: how many. -ENOENT: the brick has
 * none; -EBUSY: they are being restarted. */
int crew_restart(struct crew *crew, const char *brick, size_t *ret_n);

/* --- for supervisor.c ---------------------------------------------------------------------------
 */

struct crew **crew_link(struct crew *crew);
struct crew *crew_next(const struct crew *crew);

/* The state of a process of the pool has changed. */
void crew_changed(struct crew *crew, const struct pool *pool, const struct program *program);

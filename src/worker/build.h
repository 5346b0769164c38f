/* SPDX-License-Identifier: MIT */
#pragma once

/* Builds the bricks of a configuration: opens modules, checks options, creates and destroys bricks.
 * Main thread only. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/cleanup.h"

struct conf;
struct conf_brick;
struct diag;
struct instance;
struct module;
struct stats;

struct build {
        struct conf *conf;
        const struct stats *stats;
        struct module **modules;     /* one per brick, in the order of the file */
        struct instance **instances; /* the same */
        struct instance **made;      /* the instances in order of creation: callees first */
        size_t n_made;
};

/*
 * Opens the modules, checks the options, creates the bricks. `creating` is called with the index of
 * each brick before its create() runs, and at the end with -1. All mistakes go to diag; -EINVAL if
 * diag has any. conf and stats must outlive the build.
 */
int build_new(struct build **ret, struct conf *conf, const struct stats *stats,
              void (*creating)(ssize_t brick), struct diag *diag);

/* Adds the mistakes in modules and options of a conf from conf_salvage() to diag. */
void build_look_for_mistakes(struct conf *conf, struct diag *diag);

/* Drains the bricks, callers before those they call; `now`: as instance_drain(). Call it again
 * until it returns true. */
bool build_drain_bricks(struct build *build, bool now);

/* Destroys the bricks, callers before those they call. `destroying` (may be NULL) is called with
 * the index of each before its destroy() runs, and with -1 after it. */
void build_destroy_bricks(struct build *build, void (*destroying)(ssize_t brick));

/* The index of a brick in the configuration. */
ssize_t build_index(const struct build *build, const struct conf_brick *brick);

/* Destroys the bricks that are left, too. */
struct build *build_free(struct build *build);
DEFINE_CLEANUP(struct build *, build_free);

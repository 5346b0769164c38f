/* SPDX-License-Identifier: MIT */
#pragma once

/* From the configuration to bricks that are ready to serve. Main thread only. */

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
        struct instance **made;      /* the instances in the order they were made: callees first */
        size_t n_made;
};

/*
 * Opens the modules, checks their options, makes the bricks. `creating` is told the index of each
 * brick before its create() runs, then -1. Mistakes, all of them, go to diag; -EINVAL then. conf
 * and stats must outlive the build.
 */
int build_new(struct build **ret, struct conf *conf, const struct stats *stats,
              void (*creating)(ssize_t brick), struct diag *diag);

/* Of a conf that conf_salvage() gave: what is wrong with its bricks' modules and options. */
void build_look_for_mistakes(struct conf *conf, struct diag *diag);

/* Tells the bricks that no more calls come, callers before those they call: instance_drain(). To be
 * called again until it says true. */
bool build_drain_bricks(struct build *build, bool now);

/* Stops the bricks, callers before those they call. `destroying` is told the index of each before
 * its destroy() runs, then -1. */
struct build *build_free(struct build *build);
void build_destroy_bricks(struct build *build, void (*destroying)(ssize_t brick));

/* The index of a brick in the configuration. */
ssize_t build_index(const struct build *build, const struct conf_brick *brick);
DEFINE_CLEANUP(struct build *, build_free);

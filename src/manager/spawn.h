/* SPDX-License-Identifier: MIT */
#pragma once

/* Starts brickd-worker with the descriptors that shared/channel.h defines. */

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/state.h"

struct sockets;
struct stats;

struct spawn {
        const char *name; /* of the configuration file: for messages and relative paths */
        const char *bytes;
        size_t length;
        unsigned generation;
        unsigned worker;
        bool check;     /* --check: build everything, report the result, exit */
        int identities; /* descriptors of shared memory */
        int quota;
        int balance;
        int programs;
        uint32_t quota_row;
        struct explain_key explain_key;
        const struct sockets *sockets;
        size_t n_bricks;
};

/* A process group of its own, so that Ctrl-C on a terminal reaches only the main process, and no
 * blocked or ignored signals. 0 or a negative errno. */
int spawn_set_attributes(posix_spawnattr_t *attributes);

/* The program to execute: $BRICKD_WORKER, or the installed brickd-worker. */
const char *spawn_executable(void);

/*
 * With spawn_set_attributes(). *ret_channel is the main process's end of the channel. *ret_state
 * and *ret_stats are the memory that it shares with this worker alone.
 */
int spawn_worker(const struct spawn *spawn, pid_t *ret_pid, int *ret_channel,
                 struct state **ret_state, struct stats **ret_stats);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Starting brickd-worker with the descriptors that shared/channel.h promises it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sockets;
struct state;
struct stats;

struct spawn {
        const char *name; /* of the configuration file, for messages and relative paths */
        const char *bytes;
        size_t length;
        unsigned generation;
        unsigned worker;
        bool check; /* build everything, say how it went, exit */
        int identities;
        int quota;
        uint32_t quota_row;
        int balance;
        const struct sockets *sockets;
        size_t n_bricks;
};

/* The file that is executed: $BRICKD_WORKER, or the installed one. */
const char *spawn_executable(void);

/*
 * The process gets a process group of its own, so that Ctrl-C on a terminal reaches only us, and no
 * blocked or ignored signals. The channel's other end closes when it is gone. *ret_state and
 * *ret_stats: the memory that only this worker shares with us.
 */
int spawn_worker(const struct spawn *spawn, pid_t *ret_pid, int *ret_channel,
                 struct state **ret_state, struct stats **ret_stats);

/* SPDX-License-Identifier: MIT */
#pragma once

/* What /proc tells of a process. Silent. */

#include <stdint.h>
#include <sys/types.h>

struct proc {
        uint64_t resident; /* bytes */
        uint64_t virtual;
        double cpu; /* seconds, user and system */
        unsigned fds;
};

/* -ESRCH or the like: it is gone. */
int proc_read(struct proc *ret, pid_t pid);

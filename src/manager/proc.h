/* SPDX-License-Identifier: MIT */
#pragma once

/* Memory, processor time and descriptors of a process, from /proc. Silent. */

#include <stdint.h>
#include <sys/types.h>

struct proc {
        uint64_t resident; /* bytes */
        uint64_t virtual;
        double cpu; /* seconds, user and system */
        unsigned fds;
};

/* A negative errno, such as -ESRCH: the process has exited. */
int proc_read(struct proc *ret, pid_t pid);

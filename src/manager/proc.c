/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "manager/proc.h"
#include "util/cleanup.h"

static int count_fds(pid_t pid, unsigned *ret)
{
        _cleanup_closedir_ DIR *dir = NULL;
        unsigned n = 0;
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
        dir = opendir(path);
        if (!dir)
                return -errno;
        while (readdir(dir))
                n++;
        *ret = n > 2 ? n - 2 : 0; /* . and .. */
        return 0;
}

/* Reads the fields after the name in brackets, which may itself contain spaces and brackets. */
static int read_stat(pid_t pid, struct proc *ret)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[64], line[1024];
        uint64_t user, system, resident;
        const char *fields;

        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        f = fopen(path, "re");
        if (!f || !fgets(line, sizeof line, f))
                return -ESRCH;
        fields = strrchr(line, ')');
        if (!fields || sscanf(fields + 1,
                              " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                              " %*d %*d %*d %*d %*d %*d %*u %" SCNu64 " %" SCNu64,
                              &user, &system, &ret->virtual, &resident) != 4)
                return -EBADMSG;
        ret->cpu = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
        ret->resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
        return 0;
}

int proc_read(struct proc *ret, pid_t pid)
{
        struct proc proc = {};
        int r;

        r = read_stat(pid, &proc);
        if (r < 0)
                return r;
        r = count_fds(pid, &proc.fds);
        if (r < 0)
                return r;
        *ret = proc;
        return 0;
}

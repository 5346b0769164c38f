/* SPDX-License-Identifier: MIT */
/* Lowers the address space of the process to what it has already: nothing can be mapped any more.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rogue.h"

static int rogue(struct brick_call *call, LLMResponse *response)
{
        struct rlimit limit = { 0, RLIM_INFINITY };
        unsigned long pages = 0;
        FILE *f = fopen("/proc/self/statm", "re");

        if (!f || fscanf(f, "%lu", &pages) != 1)
                return -EIO;
        (void)fclose(f);
        limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE);
        return setrlimit(RLIMIT_AS, &limit) == 0 ? 0 : -EIO;
}

ROGUE("limits-memory");

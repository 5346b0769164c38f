/* SPDX-License-Identifier: MIT */
#include "worker/exit.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "module/entry.h"
#include "module/load.h"
#include "util/log.h"

static atomic_bool expected;
static pid_t worker; /* a process that a brick has forked may call exit() */

static void name_caller(void)
{
        const struct conf_brick *entered = entry_current();
        const char *brick = entered ? entered->name : NULL;
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
                { "BRICK", brick, brick ? strlen(brick) : 0 },
        };

        if (getpid() != worker || atomic_exchange(&expected, true))
                return;
        if (brick)
                log_fields(LOG_LEVEL_ERROR, fields, 2,
                           "Brick '%s' called exit(), which ends this worker and all its calls: a "
                           "fault of %s",
                           brick, module_calling_libc());
        else
                log_fields(LOG_LEVEL_ERROR, fields, 1,
                           "A thread called exit(), which ends this worker and all its calls: a "
                           "fault of %s",
                           module_calling_libc());
        log_close();
        /* Not with the brick's own status: some have a meaning for the main process. */
        _exit(EXIT_FAILURE);
}

void exit_watch(void)
{
        worker = getpid();
        (void)atexit(name_caller);
        (void)at_quick_exit(name_caller);
}

int exit_expect(int status)
{
        atomic_store(&expected, true);
        return status;
}

/* SPDX-License-Identifier: MIT */
#include "worker/exit.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "module/entry.h"
#include "module/load.h"
#include "util/log.h"

static atomic_bool expected;
static pid_t worker; /* a process that a brick has forked may call exit() */

/* Logs one line, the first of this process, and ends it: not with the brick's own status, because
 * some have a meaning for the main process. */
static void end_worker(const struct conf_brick *brick, const char *what, const char *whose)
{
        const char *name = brick ? brick->name : NULL;
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
                { "BRICK", name, name ? strlen(name) : 0 },
        };

        if (brick)
                log_fields(LOG_LEVEL_ERROR, fields, 2,
                           "Brick '%s' %s, which ends this worker and all its calls: a fault of %s",
                           name, what, whose);
        else
                log_fields(LOG_LEVEL_ERROR, fields, 1,
                           "A thread %s, which ends this worker and all its calls: a fault of %s",
                           what, whose);
        log_close();
        _exit(EXIT_FAILURE);
}

static void name_caller(void)
{
        if (getpid() != worker || atomic_exchange(&expected, true))
                return;
        end_worker(entry_current(), "called exit()", module_calling_libc());
}

/* The brick's functions are off the stack, so only its configuration names the module. */
static void name_thread_end(void)
{
        const struct conf_brick *brick = entry_current();
        char module[PATH_MAX];

        if (getpid() != worker)
                return;
        (void)snprintf(module, sizeof module, "module %s", brick->module);
        end_worker(brick, "ended a thread of brickd, as pthread_exit() does", module);
}

void exit_watch(void)
{
        worker = getpid();
        (void)atexit(name_caller);
        (void)at_quick_exit(name_caller);
        entry_on_thread_end(name_thread_end);
}

static volatile sig_atomic_t late_status;

static void on_alarm(int signal_number)
{
        _exit(late_status);
}

void exit_after(unsigned seconds, int status)
{
        const struct sigaction action = { .sa_handler = on_alarm };
        sigset_t set;

        late_status = status;
        (void)sigaction(SIGALRM, &action, NULL);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGALRM);
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        (void)alarm(seconds);
}

int exit_expect(int status)
{
        atomic_store(&expected, true);
        return status;
}

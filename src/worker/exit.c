/* SPDX-License-Identifier: MIT */
#include "worker/exit.h"

#include <pthread.h>
#include <signal.h>
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

/* Logs what a thread has done, and ends the process: not with the brick's own status, because some
 * have a meaning for the main process. */
static void end_worker(const char *what, const char *kind, const char *culprit)
{
        const struct conf_brick *entered = entry_current();
        const char *brick = entered ? entered->name : NULL;
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
                { "BRICK", brick, brick ? strlen(brick) : 0 },
        };

        if (brick)
                log_fields(LOG_LEVEL_ERROR, fields, 2,
                           "Brick '%s' %s, which ends this worker and all its calls: a fault of "
                           "%s%s",
                           brick, what, kind, culprit);
        else
                log_fields(LOG_LEVEL_ERROR, fields, 1,
                           "A thread %s, which ends this worker and all its calls: a fault of %s%s",
                           what, kind, culprit);
        log_close();
        _exit(EXIT_FAILURE);
}

static void name_caller(void)
{
        if (getpid() != worker || atomic_exchange(&expected, true))
                return;
        end_worker("called exit()", "", module_calling_libc());
}

/* The brick's functions are off the stack, so only its configuration names the module. */
static void name_thread_end(void)
{
        if (getpid() == worker)
                end_worker("ended a thread of brickd, as pthread_exit() does", "module ",
                           entry_current()->module);
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

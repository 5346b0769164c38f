/* SPDX-License-Identifier: MIT */
#include "manager/program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "manager/program-notify.h"
#include "manager/program-spawn.h"
#include "manager/report.h"
#include "util/clock.h"
#include "util/log.h"

/* The delay before a process is started again: doubled with each failure in a row. One that has
 * been ready for BACKOFF_FORGET has recovered. */
#define BACKOFF_FIRST (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX (30 * NSEC_PER_SEC)
#define BACKOFF_FORGET (10 * NSEC_PER_SEC)

#define LEAVE_TIME (100 * NSEC_PER_MSEC) /* for workers to send calls elsewhere */
#define ABORT_TIME (2 * NSEC_PER_SEC)    /* for a traceback */
#define KILL_TIME NSEC_PER_SEC           /* after which it is killed again */

/* How often to try to connect to a process that starts. */
#define PROBE_FIRST (10 * NSEC_PER_MSEC)
#define PROBE_MAX (100 * NSEC_PER_MSEC)

/* --- timers ----------------------------------------------------------------------------------- */

/* They are made once: to set one needs no memory, so a process never lacks its deadline. */
static int timer_new(struct program *p, sd_event_source **ret, sd_event_time_handler_t on_time)
{
        int r;

        r = sd_event_add_time(p->settings.event, ret, CLOCK_MONOTONIC, 0, 1, on_time, p);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static void timer_set(sd_event_source *timer, uint64_t ns)
{
        (void)sd_event_source_set_time_relative(timer, ns / NSEC_PER_USEC);
        (void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void timer_stop(sd_event_source *timer)
{
        (void)sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
        struct program *p = user;
        bool unspawned = p->unspawned;

        p->unspawned = false;
        program_handle(p, unspawned ? PROGRAM_NOT_SPAWNED : PROGRAM_TIMEOUT);
        return 0;
}

/* The deadline of the state. A process that could not be started has none: it has ended. */
static void arm(struct program *p, uint64_t ns)
{
        timer_set(p->deadline, p->unspawned ? 0 : ns);
}

static int on_probe(sd_event_source *source, uint64_t usec, void *user)
{
        struct program *p = user;
        uint64_t age = clock_now() - p->since;

        if (program_accepts(p))
                program_handle(p, PROGRAM_SAYS_READY);
        else
                timer_set(source, age < PROBE_FIRST ? PROBE_FIRST
                                  : age > PROBE_MAX ? PROBE_MAX
                                                    : age);
        return 0;
}

/* It may be this process that was held up: what has come meanwhile counts. */
static int on_silence(sd_event_source *source, uint64_t usec, void *user)
{
        program_read_messages(user);
        if (sd_event_source_get_enabled(source, NULL) == 0)
                program_handle(user, PROGRAM_SILENT);
        return 0;
}

void program_feed_watchdog(struct program *p)
{
        if (p->settings.spec->hang_timeout > 0)
                timer_set(p->watchdog, (uint64_t)p->settings.spec->hang_timeout);
}

/* --- what the table orders -------------------------------------------------------------------- */

static void signal_process(const struct program *p, int number)
{
        if (p->pid > 0)
                (void)kill(p->pid, number);
}

static void signal_group(const struct program *p, int number)
{
        if (p->pid > 0)
                (void)kill(-p->pid, number);
}

/* The event comes later: this may run while the program is being told to start. */
static void give_up(struct program *p, int r)
{
        free(p->epitaph);
        if (asprintf(&p->epitaph, "cannot be started by %s: %s", program_spawn_executable(),
                     strerror(-r)) < 0)
                p->epitaph = NULL;
        capture_end(&p->capture);
        p->unspawned = true;
        arm(p, 0);
}

static void spawn(struct program *p)
{
        int r;

        p->since = clock_now();
        p->ready = 0;
        p->overdue = p->silent = p->killed = false;
        p->status[0] = '\0';
        p->restarts += p->epitaph != NULL;
        r = program_spawn(p);
        if (r < 0) {
                give_up(p, r);
                return;
        }
        arm(p, (uint64_t)p->settings.spec->start_timeout);
        if (!p->settings.spec->notifies)
                timer_set(p->probe, PROBE_FIRST);
}

static void welcome(struct program *p)
{
        timer_stop(p->deadline);
        timer_stop(p->probe);
        p->ready = clock_now();
        report_event(LOG_LEVEL_INFO, LOG_ID_PROCESS_READY, p->settings.brick,
                     "Process %u (pid %d) of brick '%s' is ready after %.1fs", p->settings.index,
                     p->pid, p->settings.brick,
                     (double)(p->ready - p->since) / (double)NSEC_PER_SEC);
}

static void terminate(struct program *p)
{
        /* Only the process itself: it may want to end its children in order. */
        signal_process(p, SIGTERM);
        signal_process(p, SIGCONT);
        arm(p, (uint64_t)p->settings.spec->grace);
}

static void abort_program(struct program *p)
{
        p->overdue = p->ready == 0;
        p->silent = !p->overdue;
        signal_process(p, SIGABRT);
        signal_group(p, SIGCONT);
        arm(p, ABORT_TIME);
}

static void kill_program(struct program *p)
{
        signal_group(p, SIGKILL);
        arm(p, KILL_TIME);
}

static void retry(struct program *p)
{
        uint64_t delay = BACKOFF_MAX;

        if (p->ready > 0 && clock_now() - p->ready >= BACKOFF_FORGET)
                p->failures = 0;
        if (p->failures < 9)
                delay = BACKOFF_FIRST << p->failures;
        if (delay > BACKOFF_MAX)
                delay = BACKOFF_MAX;
        p->failures++;
        arm(p, delay);
        if (!*p->settings.trial)
                report_event(LOG_LEVEL_ERROR, LOG_ID_PROCESS_DIED, p->settings.brick,
                             "Process %u of brick '%s' %s; starting it again in %gs",
                             p->settings.index, p->settings.brick,
                             p->epitaph ? p->epitaph : "has ended",
                             (double)delay / (double)NSEC_PER_SEC);
}

static void end(struct program *p)
{
        timer_stop(p->deadline);
        if (p->killed)
                report_event(LOG_LEVEL_WARNING, LOG_ID_PROCESS_DIED, p->settings.brick,
                             "Process %u of brick '%s' %s", p->settings.index, p->settings.brick,
                             p->epitaph);
}

static void act(struct program *p, enum program_action action)
{
        switch (action) {
        case PROGRAM_NOTHING:
                return;
        case PROGRAM_SPAWN:
                spawn(p);
                return;
        case PROGRAM_WELCOME:
                welcome(p);
                return;
        case PROGRAM_DISMISS:
                (void)unlink(p->socket); /* who waits for the next one does not connect to this */
                arm(p, LEAVE_TIME);
                return;
        case PROGRAM_TERMINATE:
                terminate(p);
                return;
        case PROGRAM_ABORT:
                abort_program(p);
                return;
        case PROGRAM_KILL:
                kill_program(p);
                return;
        case PROGRAM_RETRY:
                retry(p);
                return;
        case PROGRAM_END:
                end(p);
                return;
        }
}

void program_handle(struct program *p, enum program_event event)
{
        struct program_step step = program_step(p->state, event);

        p->killed = p->killed || (step.action == PROGRAM_KILL && event == PROGRAM_TIMEOUT);
        p->state = step.next;
        act(p, step.action);
        if (step.action != PROGRAM_NOTHING)
                p->settings.ops->changed(p, p->settings.user);
}

/* --- its end ---------------------------------------------------------------------------------- */

static int describe_end(const struct program *p, int code, int status, char **ret)
{
        const double limit = (double)(p->overdue ? p->settings.spec->start_timeout
                                                 : p->settings.spec->hang_timeout) /
                             (double)NSEC_PER_SEC;
        /* The last line of a process that gets SIGABRT may be about that. */
        const char *words = p->overdue && *p->status ? p->status : capture_last_words(&p->capture);
        const char *glue = *words ? ": " : "";
        const char *abbreviation = sigabbrev_np(status);
        const char *early = p->ready == 0 ? " before it was ready" : "";

        if (p->overdue)
                return asprintf(ret, "(pid %d) was killed: it was not ready within %gs%s%s", p->pid,
                                limit, glue, words);
        if (p->silent)
                return asprintf(ret, "(pid %d) was killed: it was silent for %gs", p->pid, limit);
        if (p->killed)
                return asprintf(ret, "(pid %d) was killed: it did not exit within %gs of SIGTERM",
                                p->pid, (double)p->settings.spec->grace / (double)NSEC_PER_SEC);
        if (code == CLD_EXITED)
                return asprintf(ret, "(pid %d) exited with status %d%s%s%s", p->pid, status, early,
                                glue, words);
        return asprintf(ret, "(pid %d) died of SIG%s%s%s%s", p->pid,
                        abbreviation ? abbreviation : "?", early, glue, words);
}

void program_exited(struct program *p, int code, int status)
{
        signal_group(p, SIGKILL);
        capture_end(&p->capture);
        program_listen_end(p);
        timer_stop(p->probe);
        timer_stop(p->watchdog);
        timer_stop(p->deadline);
        free(p->epitaph);
        if (describe_end(p, code, status, &p->epitaph) < 0)
                p->epitaph = NULL;
        p->pid = 0;
        program_handle(p, PROGRAM_EXITED);
}

/* --- creation and destruction ----------------------------------------------------------------- */

static int place(char *path, const char *folder, unsigned index, const char *suffix)
{
        int n = snprintf(path, PROGRAM_SOCKET_MAX, "%s/%u%s", folder, index, suffix);

        return n < (int)PROGRAM_SOCKET_MAX ? 0 : -ENAMETOOLONG;
}

int program_new(struct program **ret, const struct program_settings *settings)
{
        _cleanup_(program_freep) struct program *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return -ENOMEM;
        p->settings = *settings;
        p->notify_fd = -EBADF;
        r = capture_init(&p->capture, settings->event, settings->brick, settings->log_level);
        if (r == 0)
                r = place(p->socket, settings->folder, settings->index, "");
        if (r == 0)
                r = place(p->notify, settings->folder, settings->index, ".notify");
        if (r == 0)
                r = timer_new(p, &p->deadline, on_deadline);
        if (r == 0)
                r = timer_new(p, &p->probe, on_probe);
        if (r == 0)
                r = timer_new(p, &p->watchdog, on_silence);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct program *program_free(struct program *p)
{
        if (!p)
                return NULL;
        signal_group(p, SIGKILL);
        if (p->pid > 0)
                (void)waitpid(p->pid, NULL, 0);
        sd_event_source_disable_unref(p->probe);
        sd_event_source_disable_unref(p->watchdog);
        sd_event_source_disable_unref(p->deadline);
        program_listen_end(p);
        capture_done(&p->capture);
        (void)unlink(p->socket);
        free(p->epitaph);
        free(p);
        return NULL;
}

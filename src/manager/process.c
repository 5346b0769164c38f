/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "manager/process.h"
#include "shared/channel.h"
#include "shared/quota.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/errno.h"

#define DIAGNOSTICS_MAX 64
#define MESSAGES_MAX 1000 /* a second */
#define ABORT_TIME (5 * NSEC_PER_SEC)

struct processes {
        sd_event *event;
        sd_event_source *sigchld;
        struct process *first;
        struct quota *quota;
};

const char *process_state_to_string(enum process_state state)
{
        static const char *const names[] = {
                [PROCESS_STARTING] = "starting", [PROCESS_READY] = "ready",
                [PROCESS_RETIRING] = "retiring", [PROCESS_STOPPING] = "stopping",
                [PROCESS_GONE] = "gone",
        };

        return names[state];
}

static void replace_text(char **text, const char *by)
{
        char *copy = strdup(by);

        if (!copy)
                return; /* the old one is better than none */
        free(*text);
        *text = copy;
}

/* Time */

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
        struct process *p = user;

        p->overdue = true;
        p->overdue_in = p->state;
        process_kill(p);
        return 0;
}

static void disarm(struct process *p)
{
        p->deadline = sd_event_source_disable_unref(p->deadline);
}

static void arm(struct process *p, uint64_t time)
{
        int r;

        disarm(p);
        r = sd_event_add_time_relative(p->processes->event, &p->deadline, CLOCK_MONOTONIC,
                                       time / NSEC_PER_USEC, 0, on_deadline, p);
        if (r < 0)
                process_kill(p); /* nothing waits without a limit */
}

/* A deadline only comes nearer: who asks again and again does not put it off. */
static void arm_sooner(struct process *p, uint64_t time)
{
        uint64_t due;

        if (p->deadline && sd_event_source_get_time(p->deadline, &due) >= 0 &&
            due <= (clock_now() + time) / NSEC_PER_USEC)
                return;
        arm(p, time);
}

/* What the worker says */

static void add_diagnostic(struct process *p, const char *text)
{
        char **grown;

        if (p->n_diagnostics >= DIAGNOSTICS_MAX)
                return;
        grown = reallocarray(p->diagnostics, p->n_diagnostics + 1, sizeof *grown);
        if (!grown)
                return;
        p->diagnostics = grown;
        grown[p->n_diagnostics] = strdup(text);
        if (grown[p->n_diagnostics])
                p->n_diagnostics++;
}

static void become_ready(struct process *p)
{
        if (p->state != PROCESS_STARTING)
                return;
        p->creating = (free(p->creating), NULL);
        p->state = PROCESS_READY;
        p->ready = clock_now();
        disarm(p);
        p->ops->ready(p, p->user);
}

static void take_status(struct process *p, const char *status, size_t length)
{
        p->asked = 0;
        p->stuck = (free(p->stuck), NULL);
        if (length >= 2 && status[0] == '{' && status[length - 1] == '}')
                replace_text(&p->status, status);
        p->ops->answered(p, p->user);
}

static void hear(struct process *p, const struct channel_message *message)
{
        switch (message->kind) {
        case CHANNEL_CREATING:
                replace_text(&p->creating, message->text);
                break;
        case CHANNEL_DIAGNOSTIC:
                add_diagnostic(p, message->text);
                break;
        case CHANNEL_FAILED:
                replace_text(&p->failed, message->text);
                break;
        case CHANNEL_READY:
                become_ready(p);
                break;
        case CHANNEL_STATUS:
                take_status(p, message->text, message->length);
                break;
        case CHANNEL_STUCK:
                replace_text(&p->stuck, message->text);
                break;
        case CHANNEL_CRASHED:
                replace_text(&p->crashed, message->text);
                break;
        case CHANNEL_HELD:
                replace_text(&p->held, message->text);
                break;
        }
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *user)
{
        _cleanup_(channel_message_done) struct channel_message message = {};
        struct process *p = user;
        int r;

        r = channel_receive(fd, &message);
        if (r > 0)
                hear(p, &message);
        else if (r != -EAGAIN)
                p->io = sd_event_source_disable_unref(p->io); /* its exit comes next */
        return 0;
}

static void say(struct process *p, enum channel_kind kind, const char *text)
{
        /* A worker that does not read does not answer either, and dies of that. */
        (void)channel_send(p->channel, kind, text, strlen(text));
}

/* Its end */

static void hear_last_words(struct process *p)
{
        /* Bounded: a process that the worker has left behind may still talk. */
        for (int i = 0; i < 2 * DIAGNOSTICS_MAX; i++) {
                _cleanup_(channel_message_done) struct channel_message message = {};

                if (channel_receive(p->channel, &message) <= 0)
                        break;
                hear(p, &message);
        }
}

static void process_exited(struct process *p, const siginfo_t *info)
{
        hear_last_words(p);
        quota_forget(p->processes->quota, p->pid);
        p->exit_code = info->si_code;
        p->exit_status = info->si_status;
        p->state = PROCESS_GONE;
        p->io = sd_event_source_disable_unref(p->io);
        disarm(p);
        p->ops->gone(p, p->user);
}

static struct process *processes_find(struct processes *processes, pid_t pid)
{
        struct process *p = processes->first;

        while (p && (p->pid != pid || p->state == PROCESS_GONE))
                p = p->next;
        return p;
}

static int on_sigchld(sd_event_source *source, const struct signalfd_siginfo *unused, void *user)
{
        struct processes *processes = user;
        siginfo_t info = {};

        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid > 0) {
                struct process *p = processes_find(processes, info.si_pid);

                if (p)
                        process_exited(p, &info);
                info = (siginfo_t){};
        }
        return 0;
}

int processes_new(struct processes **ret, sd_event *event)
{
        _cleanup_(processes_freep) struct processes *processes = calloc(1, sizeof *processes);
        int r;

        if (!processes)
                return -ENOMEM;
        processes->event = sd_event_ref(event);
        r = quota_new(&processes->quota);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, &processes->sigchld, SIGCHLD | SD_EVENT_SIGNAL_PROCMASK,
                                on_sigchld, processes);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(processes);
        return 0;
}

struct processes *processes_free(struct processes *processes)
{
        if (!processes)
                return NULL;
        sd_event_source_disable_unref(processes->sigchld);
        sd_event_unref(processes->event);
        (void)quota_free(processes->quota);
        free(processes);
        return NULL;
}

sd_event *processes_event(struct processes *processes)
{
        return processes->event;
}

int processes_quota(const struct processes *processes)
{
        return quota_fd(processes->quota);
}

static void processes_remove(struct processes *processes, struct process *p)
{
        struct process **link = &processes->first;

        while (*link && *link != p)
                link = &(*link)->next;
        if (*link)
                *link = p->next;
}

/* Making and unmaking */

int process_new(struct process **ret, struct processes *processes, const struct spawn *spawn,
                uint64_t start_timeout, const struct process_ops *ops, void *user)
{
        _cleanup_(process_freep) struct process *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return -ENOMEM;
        *p = (struct process){
                .processes = processes,
                .ops = ops,
                .user = user,
                .channel = -EBADF,
                .state = PROCESS_GONE,
                .start_timeout = start_timeout,
                .since = clock_now(),
        };
        r = spawn_worker(spawn, &p->pid, &p->channel, &p->stats);
        if (r < 0)
                return r;
        p->state = PROCESS_STARTING;
        r = sd_event_add_io(processes->event, &p->io, p->channel, EPOLLIN, on_channel, p);
        if (r < 0)
                return r;
        /* One that talks without pause keeps nobody else from being heard. */
        (void)sd_event_source_set_ratelimit(p->io, NSEC_PER_SEC / NSEC_PER_USEC, MESSAGES_MAX);
        arm(p, start_timeout);
        p->next = processes->first;
        processes->first = p;
        *ret = TAKE_PTR(p);
        return 0;
}

struct process *process_free(struct process *p)
{
        if (!p)
                return NULL;
        if (p->state != PROCESS_GONE) {
                process_kill(p);
                (void)waitpid(p->pid, NULL, 0);
        }
        processes_remove(p->processes, p);
        sd_event_source_disable_unref(p->io);
        disarm(p);
        (void)close_fd(p->channel);
        free(p->creating);
        free(p->crashed);
        free(p->failed);
        free(p->held);
        free(p->status);
        free(p->stuck);
        for (size_t i = 0; i < p->n_diagnostics; i++)
                free(p->diagnostics[i]);
        free(p->diagnostics);
        (void)stats_free(p->stats);
        free(p);
        return NULL;
}

/* What it is told */

void process_query(struct process *p)
{
        if (p->state == PROCESS_STARTING || p->state == PROCESS_GONE)
                return;
        if (!p->asked)
                p->asked = clock_now();
        say(p, CHANNEL_QUERY, "");
}

void process_log_level(struct process *p, enum log_level level, const char *brick)
{
        char text[128];

        (void)snprintf(text, sizeof text, "%s%s%s", log_level_to_string(level), brick ? " " : "",
                       brick ? brick : "");
        say(p, CHANNEL_LOG_LEVEL, text);
}

int process_identities(struct process *p, const char *bytes, size_t length)
{
        int r = channel_send(p->channel, CHANNEL_IDENTITIES, bytes, length);

        if (r == 0 || errno_is_transient(r))
                return r;
        process_kill(p);
        return 0;
}

void process_retire(struct process *p, uint64_t limit)
{
        if (p->state != PROCESS_READY)
                return;
        p->state = PROCESS_RETIRING;
        say(p, CHANNEL_RETIRE, "");
        arm(p, limit);
}

void process_stop(struct process *p, uint64_t grace, uint64_t limit)
{
        char text[32];

        if (p->state == PROCESS_STARTING) { /* it serves nobody, and does not listen to us yet */
                p->state = PROCESS_STOPPING;
                process_kill(p);
        }
        if (p->state >= PROCESS_STOPPING)
                return;
        p->state = PROCESS_STOPPING;
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)(grace / NSEC_PER_MSEC));
        say(p, CHANNEL_STOP, text);
        arm(p, limit);
}

void process_cancel(struct process *p, uint64_t limit)
{
        if (p->state != PROCESS_STOPPING)
                return;
        say(p, CHANNEL_CANCEL, "");
        arm_sooner(p, limit);
}

void process_abort(struct process *p)
{
        if (p->state >= PROCESS_STOPPING)
                return;
        p->state = PROCESS_STOPPING;
        p->aborted = true;
        (void)kill(p->pid, SIGABRT);
        (void)kill(p->pid, SIGCONT); /* should it be stopped */
        arm(p, ABORT_TIME);
}

void process_kill(struct process *p)
{
        if (p->state != PROCESS_GONE)
                (void)kill(p->pid, SIGKILL);
}

/* What is said of it */

static const char *known(const char *text)
{
        return text && *text ? text : NULL;
}

bool process_was_silent(const struct process *p)
{
        return p->aborted && p->exit_code != CLD_EXITED &&
               (p->exit_status == SIGABRT || p->exit_status == SIGKILL);
}

const char *process_blames(const struct process *p)
{
        if (known(p->crashed))
                return p->crashed;
        if (known(p->creating))
                return p->creating;
        return process_was_silent(p) ? known(p->stuck) : NULL;
}

static int describe_overdue(const struct process *p, char **ret)
{
        const char *brick = known(p->creating);
        double limit = (double)p->start_timeout / (double)NSEC_PER_SEC;

        if (p->overdue_in != PROCESS_STARTING)
                return asprintf(ret, "had to be killed: %s",
                                known(p->held) ? p->held : "it did not say what held it");
        if (brick)
                return asprintf(ret,
                                "had to be killed: brick '%s' did not finish create() within %gs",
                                brick, limit);
        return asprintf(ret, "had to be killed: it was not ready within %gs", limit);
}

static int describe_signal(const struct process *p, char **ret)
{
        const char *abbreviation = sigabbrev_np(p->exit_status), *brick = process_blames(p);
        const char *where = known(p->creating) ? "create() of " : "";
        char name[32];

        if (abbreviation)
                (void)snprintf(name, sizeof name, "SIG%s", abbreviation);
        else
                (void)snprintf(name, sizeof name, "signal %d", p->exit_status);
        if (!brick)
                return asprintf(ret, "died of %s", name);
        return asprintf(ret, "died of %s in %sbrick '%s'", name, where, brick);
}

int process_epitaph(const struct process *p, char **ret)
{
        int n;

        if (process_was_silent(p))
                n = asprintf(ret, "was killed: it did not answer");
        else if (p->overdue)
                n = describe_overdue(p, ret);
        else if (p->exit_code != CLD_EXITED)
                n = describe_signal(p, ret);
        else if (p->failed)
                n = asprintf(ret, "failed: %s", p->failed);
        else
                n = asprintf(ret, "exited with status %d", p->exit_status);
        return n < 0 ? -ENOMEM : 0;
}

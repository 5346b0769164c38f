/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "conf/conf.h"
#include "manager/process.h"
#include "shared/channel.h"
#include "shared/quota.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/errno.h"

#define DIAGNOSTICS_MAX 64
#define TEXTS_MAX ((size_t)64 << 10)  /* bytes of all texts of one worker */
#define PACKETS_MAX 1000              /* read from one worker in a second, and after its end */
#define ABORT_TIME (5 * NSEC_PER_SEC) /* for the core dump */
#define DEAF_TIME NSEC_PER_SEC        /* for the exit that a closed channel tells of */

struct processes {
        sd_event *event;
        sd_event_source *sigchld;
        struct process *first;
        struct quota *quota;
        struct explain_key explain_key;
        void (*other_exited)(const siginfo_t *info, void *user);
        void *other_user;
};

const char *process_state_to_string(enum process_state state)
{
        static const char *const names[] = {
                [PROCESS_STARTING] = "starting", [PROCESS_READY] = "ready",
                [PROCESS_RETIRING] = "retiring", [PROCESS_STOPPING] = "stopping",
                [PROCESS_EXITED] = "exited",
        };

        return names[state];
}

/* --- the time limit of a state ---------------------------------------------------------------- */

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
                process_kill(p); /* it must not run without a limit */
}

/* Never makes the deadline later: repeated requests must not postpone it. */
static void arm_sooner(struct process *p, uint64_t time)
{
        uint64_t due;

        if (p->deadline && sd_event_source_get_time(p->deadline, &due) >= 0 &&
            due <= (clock_now() + time) / NSEC_PER_USEC)
                return;
        arm(p, time);
}

/* --- what the worker reports ------------------------------------------------------------------ */

/* A copy. NULL: the worker has sent too much text, or memory is short. */
static char *keep_text(struct process *p, const char *text)
{
        size_t size = strlen(text) + 1;
        char *copy = size <= TEXTS_MAX - p->text_size ? strdup(text) : NULL;

        if (copy)
                p->text_size += size;
        return copy;
}

static void add_diagnostic(struct process *p, const char *text)
{
        char **grown = NULL, *copy = NULL;

        if (p->n_diagnostics < DIAGNOSTICS_MAX)
                copy = keep_text(p, text);
        if (copy)
                grown = reallocarray(p->diagnostics, p->n_diagnostics + 1, sizeof *grown);
        if (!grown) {
                free(copy);
                p->n_left_out++;
                return;
        }
        p->diagnostics = grown;
        grown[p->n_diagnostics++] = copy;
}

static void take_packet(struct process *p, const struct channel_message *message)
{
        if (message->kind == CHANNEL_DIAGNOSTIC)
                add_diagnostic(p, message->text);
        else if (message->kind == CHANNEL_FAILED && !p->failed)
                p->failed = keep_text(p, message->text);
}

static void check_ready(struct process *p)
{
        if (p->state != PROCESS_STARTING || !state_is_ready(p->shared))
                return;
        p->state = PROCESS_READY;
        p->ready = clock_now();
        disarm(p);
        p->ops->ready(p, p->user);
}

static void check_answer(struct process *p)
{
        unsigned connections, in_flight;

        if (!p->asked || state_get_answer(p->shared, &connections, &in_flight) != p->question)
                return;
        p->asked = 0;
        p->answered = true;
        p->connections = connections;
        p->in_flight = in_flight;
        p->ops->answered(p, p->user);
}

static void check_state(struct process *p)
{
        check_ready(p);
        check_answer(p);
}

/* Its exit comes next; or a brick has closed what is not its own, and nothing can be said to the
 * worker any more. */
static void go_deaf(struct process *p)
{
        p->io = sd_event_source_disable_unref(p->io);
        p->deaf = !p->overdue; /* else it has just been killed */
        arm_sooner(p, DEAF_TIME);
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *user)
{
        struct channel_message message;
        struct process *p = user;
        int r;

        r = channel_receive(fd, &message);
        if (r > 0)
                take_packet(p, &message);
        else if (r != -EAGAIN)
                go_deaf(p);
        check_state(p);
        return 0;
}

/* --- exiting ---------------------------------------------------------------------------------- */

static void take_last_packets(struct process *p)
{
        struct channel_message message;

        /* Bounded: a child that the worker has left behind may have the socket and go on sending.
         */
        for (int i = 0; i < PACKETS_MAX && channel_receive(p->channel, &message) > 0; i++)
                take_packet(p, &message);
        check_state(p);
}

static void process_exited(struct process *p, const siginfo_t *info)
{
        take_last_packets(p);
        p->exit_code = info->si_code;
        p->exit_status = info->si_status;
        p->state = PROCESS_EXITED;
        p->io = sd_event_source_disable_unref(p->io);
        disarm(p);
        p->ops->exited(p, p->user);
}

static struct process *processes_find(struct processes *processes, pid_t pid)
{
        struct process *p = processes->first;

        while (p && (p->pid != pid || p->state == PROCESS_EXITED))
                p = p->next;
        return p;
}

static void reap(struct processes *processes, const siginfo_t *info)
{
        struct process *p = processes_find(processes, info->si_pid);

        if (!p && processes->other_exited)
                processes->other_exited(info, processes->other_user);
        (void)waitid(P_PID, (id_t)info->si_pid, &(siginfo_t){}, WEXITED | WNOHANG);
        if (p)
                process_exited(p, info);
}

static int on_sigchld(sd_event_source *source, const struct signalfd_siginfo *unused, void *user)
{
        siginfo_t info = {};

        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
                reap(user, &info);
                info = (siginfo_t){};
        }
        return 0;
}

void processes_watch_others(struct processes *processes,
                            void (*exited)(const siginfo_t *info, void *user), void *user)
{
        processes->other_exited = exited;
        processes->other_user = user;
}

int processes_new(struct processes **ret, sd_event *event)
{
        _cleanup_(processes_freep) struct processes *processes = calloc(1, sizeof *processes);
        int r;

        if (!processes)
                return -ENOMEM;
        processes->event = sd_event_ref(event);
        if (getrandom(&processes->explain_key, sizeof processes->explain_key, 0) !=
            (ssize_t)sizeof processes->explain_key)
                return -EIO;
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

struct quota *processes_quota(const struct processes *processes)
{
        return processes->quota;
}

const struct explain_key *processes_explain_key(const struct processes *processes)
{
        return &processes->explain_key;
}

static void processes_remove(struct processes *processes, struct process *p)
{
        struct process **link = &processes->first;

        while (*link && *link != p)
                link = &(*link)->next;
        if (*link)
                *link = p->next;
}

/* --- creation and destruction ----------------------------------------------------------------- */

int process_new(struct process **ret, struct processes *processes, struct spawn *spawn,
                const struct conf *conf, uint64_t start_timeout, const struct process_ops *ops,
                void *user)
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
                .conf = conf,
                .quota_row = QUOTA_WORKERS,
                .state = PROCESS_EXITED,
                .start_timeout = start_timeout,
                .since = clock_now(),
        };
        r = quota_take_row(processes->quota, &p->quota_row);
        if (r < 0)
                return r;
        spawn->quota_row = p->quota_row;
        spawn->explain_key = processes->explain_key;
        r = spawn_worker(spawn, &p->pid, &p->channel, &p->shared, &p->stats);
        if (r < 0)
                return r;
        p->state = PROCESS_STARTING;
        r = sd_event_add_io(processes->event, &p->io, p->channel, EPOLLIN, on_channel, p);
        if (r < 0)
                return r;
        /* A worker that sends without pause must not keep the event loop busy. */
        (void)sd_event_source_set_ratelimit(p->io, NSEC_PER_SEC / NSEC_PER_USEC, PACKETS_MAX);
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
        if (p->state != PROCESS_EXITED) {
                process_kill(p);
                (void)waitpid(p->pid, NULL, 0);
        }
        processes_remove(p->processes, p);
        sd_event_source_disable_unref(p->io);
        disarm(p);
        (void)close_fd(p->channel);
        if (p->quota_row < QUOTA_WORKERS)
                quota_release_row(p->processes->quota, p->quota_row);
        free(p->failed);
        for (size_t i = 0; i < p->n_diagnostics; i++)
                free(p->diagnostics[i]);
        free(p->diagnostics);
        (void)stats_free(p->stats);
        (void)state_free(p->shared);
        free(p);
        return NULL;
}

/* --- orders ----------------------------------------------------------------------------------- */

void process_wake(struct process *p)
{
        channel_wake(p->channel);
}

void process_query(struct process *p)
{
        if (p->state == PROCESS_STARTING || p->state == PROCESS_EXITED)
                return;
        if (!p->asked) {
                p->asked = clock_now();
                state_ask(p->shared, ++p->question);
        }
        /* Also for a question it did not answer: a brick may have held its polling thread. */
        process_wake(p);
}

void process_log_levels(struct process *p, int level, const int *bricks)
{
        if (level)
                state_set_log_level(p->shared, -1, (enum log_level)level);
        for (size_t i = 0; p->conf && bricks && i < p->conf->n_bricks; i++)
                if (bricks[i])
                        state_set_log_level(p->shared, (ssize_t)i, (enum log_level)bricks[i]);
        process_wake(p);
}

static void order(struct process *p, enum state_order order, uint64_t grace)
{
        state_order(p->shared, order, grace);
        process_wake(p);
}

void process_retire(struct process *p, uint64_t limit)
{
        if (p->state != PROCESS_READY)
                return;
        p->state = PROCESS_RETIRING;
        order(p, STATE_RETIRE, 0);
        arm(p, limit);
}

void process_stop(struct process *p, uint64_t grace, uint64_t limit)
{
        if (p->state == PROCESS_STARTING) { /* it has no calls, and does not read orders yet */
                p->state = PROCESS_STOPPING;
                process_kill(p);
        }
        if (p->state >= PROCESS_STOPPING)
                return;
        p->state = PROCESS_STOPPING;
        order(p, STATE_STOP, grace);
        arm(p, limit);
}

void process_cancel(struct process *p, uint64_t limit)
{
        if (p->state != PROCESS_STOPPING)
                return;
        order(p, STATE_CANCEL, 0);
        arm_sooner(p, limit);
}

void process_abort(struct process *p)
{
        if (p->state >= PROCESS_STOPPING)
                return;
        p->state = PROCESS_STOPPING;
        p->aborted = true;
        (void)kill(p->pid, SIGABRT);
        (void)kill(p->pid, SIGCONT); /* in case it was stopped */
        arm(p, ABORT_TIME);
}

void process_kill(struct process *p)
{
        if (p->state != PROCESS_EXITED)
                (void)kill(p->pid, SIGKILL);
}

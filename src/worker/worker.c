/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "conf/conf.h"
#include "module/entry.h"
#include "module/instance.h"
#include "rpc/auth.h"
#include "rpc/rpc.h"
#include "shared/channel.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/log.h"
#include "worker/build.h"
#include "worker/status.h"
#include "worker/worker.h"

/*
 *   SERVING      until the main process says STOP or RETIRE, or is gone
 *   LEAVING      after STOP, for `lame_duck`: health says NOT_SERVING, all is served
 *   PARTING      no new connections, clients are told to go; all is served until the connections
 *                have gone or their time is over
 *   DRAINING     no new calls; those in flight have `grace`
 *   CANCELLING   what was left has been cancelled
 *   GONE         the last call has ended
 */
enum stage {
        STAGE_SERVING,
        STAGE_LEAVING,
        STAGE_PARTING,
        STAGE_DRAINING,
        STAGE_CANCELLING,
        STAGE_GONE,
};

/* How often a stage other than SERVING is looked at: what a stop is late at most. */
#define STEP_USEC 5000
/*
 * The time of PARTING after STOP. The core refuses calls that reach it once its shutdown has begun;
 * clients that have been told to go send no more of them.
 */
#define PARTING_NS (250 * NSEC_PER_MSEC)
/* How often a worker looks whether a brick holds the polling thread, and says what is still held.
 */
#define LOOK_USEC 1000000
#define STUCK_NS NSEC_PER_SEC
/* How long a worker without a main process may take to exit, once its calls are cancelled. */
#define ORPHAN_SEC 5

struct worker {
        const struct conf *conf;
        struct build *build;
        struct rpc *rpc;
        const struct stats *stats;
        struct auth *auth; /* NULL: there are no identities */
        sd_event *event;

        enum stage stage;
        uint64_t stage_end; /* CLOCK_MONOTONIC ns */
        uint64_t grace;
        const char *stuck; /* the brick that has been reported */
};

/* --- leaving ---------------------------------------------------------------------------------- */

static void drain(struct worker *w)
{
        if (w->stage >= STAGE_DRAINING)
                return;
        w->stage = STAGE_DRAINING;
        w->stage_end = clock_now() + w->grace;
        rpc_stop(w->rpc);
}

static void cancel(struct worker *w)
{
        drain(w);
        if (w->stage >= STAGE_CANCELLING)
                return;
        w->stage = STAGE_CANCELLING;
        rpc_cancel(w->rpc);
}

static void part(struct worker *w, uint64_t time)
{
        if (w->stage > STAGE_PARTING)
                return;
        w->stage = STAGE_PARTING;
        w->stage_end = clock_now() + time;
        rpc_retire(w->rpc);
}

static void stop(struct worker *w)
{
        rpc_leave(w->rpc);
        if (w->stage > STAGE_SERVING) {
                part(w, PARTING_NS);
                return;
        }
        w->stage = STAGE_LEAVING;
        w->stage_end = clock_now() + (uint64_t)w->conf->drain_lame_duck;
}

static void step(struct worker *w)
{
        uint64_t now = clock_now();
        bool drained;

        if (w->stage == STAGE_LEAVING && now >= w->stage_end)
                part(w, PARTING_NS);
        if (w->stage == STAGE_PARTING && (now >= w->stage_end || rpc_connections(w->rpc) == 0))
                drain(w);
        if (w->stage == STAGE_DRAINING && now >= w->stage_end)
                cancel(w);
        if (w->stage < STAGE_DRAINING)
                return;
        drained = build_drain_bricks(w->build, w->stage >= STAGE_CANCELLING);
        if (rpc_step(w->rpc) && drained) {
                w->stage = STAGE_GONE;
                (void)sd_event_exit(w->event, 0);
        }
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct worker *w = userdata;

        step(w);
        if (w->stage == STAGE_GONE)
                return 0;
        (void)sd_event_source_set_time_relative(source, STEP_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_steps(struct worker *w)
{
        return sd_event_add_time_relative(w->event, NULL, CLOCK_MONOTONIC, 0, 1000, on_step, w);
}

/* --- what the main process says -----------------------------------------------------------------
 */

/* Silence is the answer while a brick holds the polling thread: calls are not served then. */
static void answer_query(struct worker *w)
{
        _cleanup_free_ char *text = NULL;
        uint64_t held;
        const char *brick = entry_stuck(STUCK_NS, &held);

        if (brick) {
                channel_say(CHANNEL_STUCK, brick);
                return;
        }
        text = status_json(w->rpc);
        if (text)
                channel_say(CHANNEL_STATUS, text);
}

/* "LEVEL", or "LEVEL BRICK" */
static void set_log_level(struct worker *w, const char *text)
{
        char name[16];
        size_t n = strcspn(text, " ");
        int level;

        (void)snprintf(name, sizeof name, "%.*s", (int)n, text);
        level = log_level_from_string(name);
        if (level >= 0 && text[n] == '\0')
                log_set_level((enum log_level)level);
        for (size_t i = 0; level >= 0 && text[n] == ' ' && i < w->build->n_made; i++)
                if (strcmp(w->build->made[i]->conf->name, text + n + 1) == 0)
                        atomic_store(&w->build->made[i]->log_level, level);
}

static void change_identities(struct worker *w, const struct channel_message *message)
{
        int r = w->auth ? auth_set(w->auth, message->text, message->length) : 0;

        /* Those before must not stay in force: somebody may have lost their rights. */
        if (r < 0) {
                (void)log_errno(r, "The new identities cannot be taken: %m");
                (void)sd_event_exit(w->event, r);
        }
}

static void handle(struct worker *w, const struct channel_message *message)
{
        const char *text = message->text;
        enum stage before = w->stage;

        switch (message->kind) {
        case CHANNEL_QUERY:
                answer_query(w);
                break;
        case CHANNEL_RETIRE:
                part(w, (uint64_t)w->conf->drain_retire);
                break;
        case CHANNEL_STOP:
                w->grace = strtoull(text, NULL, 10) * NSEC_PER_MSEC;
                stop(w);
                break;
        case CHANNEL_CANCEL:
                cancel(w);
                break;
        case CHANNEL_LOG_LEVEL:
                set_log_level(w, text);
                break;
        case CHANNEL_IDENTITIES:
                change_identities(w, message);
                break;
        default:
                break;
        }
        if (before == STAGE_SERVING && w->stage != STAGE_SERVING)
                (void)start_steps(w);
}

/* Nobody is left to kill this process, should a brick not let go: the kernel shall do it. */
static void limit_orphan(const struct worker *w)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGALRM);
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        (void)alarm((unsigned)(w->grace / NSEC_PER_SEC) + ORPHAN_SEC);
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct channel_message message;
        struct worker *w = userdata;
        int r;

        while ((r = channel_receive(fd, &message)) == 1) {
                handle(w, &message);
                channel_message_done(&message);
        }
        if (r == -EAGAIN)
                return 0;

        log_warning("The main process is gone: this worker finishes its calls and exits");
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        limit_orphan(w);
        if (w->stage == STAGE_SERVING)
                (void)start_steps(w);
        part(w, PARTING_NS);
        return 0;
}

/* --- looking after the bricks --------------------------------------------------------------------
 */

static void look_for_stuck(struct worker *w)
{
        uint64_t held;
        const char *brick = entry_stuck(STUCK_NS, &held);

        if (!brick) {
                w->stuck = NULL;
                return;
        }
        if (w->stuck != brick) {
                const struct log_field fields[] = {
                        { "BRICK", brick, strlen(brick) },
                        { "MESSAGE_ID", LOG_ID_BRICK_STUCK, strlen(LOG_ID_BRICK_STUCK) },
                };

                log_fields(LOG_LEVEL_ERROR, fields, ELEMENTSOF(fields),
                           "Brick '%s' has held the polling thread for %" PRIu64
                           " s: no call is served",
                           brick, held / NSEC_PER_SEC);
                w->stuck = brick;
        }
        channel_say(CHANNEL_STUCK, brick);
}

static void say_what_is_held(struct worker *w)
{
        char text[256];

        for (size_t i = 0; i < w->build->n_made; i++) {
                struct instance *instance = w->build->made[i];
                unsigned n = atomic_load(&instance->stats->in_flight);

                if (n == 0)
                        continue;
                (void)snprintf(text, sizeof text, "brick '%s' still holds %u %s",
                               instance->conf->name, n, n == 1 ? "call" : "calls");
                channel_say(CHANNEL_HELD, text);
        }
}

static void count_dropped_lines(struct worker *w)
{
        atomic_store_explicit(&w->stats->head->log_dropped, log_dropped(), memory_order_relaxed);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct worker *w = userdata;

        count_dropped_lines(w);
        look_for_stuck(w);
        rpc_look(w->rpc, w->stage <= STAGE_LEAVING);
        if (w->stage >= STAGE_CANCELLING)
                say_what_is_held(w);
        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int worker_serve(const struct conf *conf, struct build *build, struct rpc *rpc,
                 const struct stats *stats, struct auth *auth)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct worker w = {
                .conf = conf,
                .build = build,
                .rpc = rpc,
                .stats = stats,
                .auth = auth,
                .grace = (uint64_t)conf->drain_grace,
        };
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        w.event = event;
        r = sd_event_add_io(event, NULL, CHANNEL_FD_CONTROL, EPOLLIN, on_channel, &w);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, LOOK_USEC, 0, on_look, &w);
        if (r < 0)
                return r;
        r = sd_event_loop(event);
        count_dropped_lines(&w);
        return r;
}

/* --- crashes ------------------------------------------------------------------------------------
 */

static void on_crash(int signal_number)
{
        const char *brick = entry_current();

        if (brick)
                channel_say(CHANNEL_CRASHED, brick);
        /* SA_RESETHAND: now it does what it would have done. */
        (void)raise(signal_number);
}

void worker_catch_crashes(void)
{
        static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
        const struct sigaction action = {
                .sa_handler = on_crash,
                .sa_flags = (int)(SA_ONSTACK | SA_RESETHAND | SA_NODEFER),
        };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaction(signals[i], &action, NULL);
        entry_guard_stack();
}

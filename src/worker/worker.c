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
#include "http/server.h"
#include "module/entry.h"
#include "module/instance.h"
#include "remote/client.h"
#include "rpc/rpc.h"
#include "serve/auth.h"
#include "serve/listener.h"
#include "shared/channel.h"
#include "shared/identities.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "util/clock.h"
#include "util/log.h"
#include "worker/build.h"
#include "worker/process-brick.h"
#include "worker/rlimits.h"
#include "worker/worker.h"

/*
 * The stages of a worker. Each comes once, in this order; some may be skipped.
 *
 *   SERVING      until the main process orders STATE_STOP or STATE_RETIRE, or exits
 *   LAME_DUCK    after STATE_STOP, for drain.lame_duck: health says NOT_SERVING, all is served
 *   GOAWAY       no new connections, and clients are asked to reconnect; all calls are served until
 *                the last connection is closed, or the time is over and the calls that have come
 *                are taken
 *   DRAINING     no new calls; those that run have the grace
 *   CANCELLING   brickd has cancelled the calls that still ran
 *   DONE         every call has ended
 */
enum stage {
        STAGE_SERVING,
        STAGE_LAME_DUCK,
        STAGE_GOAWAY,
        STAGE_DRAINING,
        STAGE_CANCELLING,
        STAGE_DONE,
};

/* How often a worker that is not SERVING checks whether a stage is over: the most that a stop is
 * late. */
#define STEP_USEC 5000

/*
 * How long GOAWAY lasts in a stop. The core refuses calls that arrive after its shutdown has begun,
 * so clients get this time to receive the GOAWAY and send no more calls on the connection.
 */
#define GOAWAY_NS (250 * NSEC_PER_MSEC)

/* The longest that GOAWAY then lasts on, until the polling thread has taken the calls that have
 * come: on a busy machine it may not have run yet. */
#define CATCH_UP_NS (2 * NSEC_PER_SEC)

/* How often on_check() runs, and from when on a brick counts as holding the polling thread. */
#define CHECK_USEC 1000000
#define STUCK_NS NSEC_PER_SEC

/* How long a worker without a main process may take to exit once its calls have been cancelled. */
#define ORPHAN_SEC 5

struct worker {
        const struct conf *conf;
        struct build *build;
        struct rpc *rpc;
        struct door *door;
        const struct stats *stats;
        struct state *state;
        struct auth *auth;
        struct identity_text *identities;
        sd_event *event;

        enum stage stage;
        uint64_t stage_end;             /* CLOCK_MONOTONIC ns */
        uint64_t grace;                 /* ns */
        bool retired;                   /* other workers accept connections */
        unsigned orders;                /* STATE_*: those that have been carried out */
        uint32_t question;              /* the last one that was answered */
        const struct conf_brick *stuck; /* holds the polling thread, and has been logged for it */
};

/* --- stopping and retiring -------------------------------------------------------------------- */

static void drain(struct worker *w)
{
        if (w->stage >= STAGE_DRAINING)
                return;
        w->stage = STAGE_DRAINING;
        (void)listeners_leave(true);
        w->stage_end = clock_now() + w->grace;
        rpc_drain(w->rpc);
        door_drain(w->door);
}

static void cancel(struct worker *w)
{
        drain(w);
        if (w->stage >= STAGE_CANCELLING)
                return;
        w->stage = STAGE_CANCELLING;
        rpc_cancel(w->rpc);
        door_cancel(w->door);
}

static void send_goaway(struct worker *w, uint64_t time)
{
        if (w->stage > STAGE_GOAWAY)
                return;
        w->stage = STAGE_GOAWAY;
        w->stage_end = clock_now() + time;
        (void)listeners_leave(w->retired);
        rpc_goaway(w->rpc);
        door_goaway(w->door);
}

static void stop(struct worker *w)
{
        rpc_lame_duck(w->rpc);
        door_lame_duck(w->door);
        if (w->stage > STAGE_SERVING) {
                send_goaway(w, GOAWAY_NS);
                return;
        }
        w->stage = STAGE_LAME_DUCK;
        w->stage_end = clock_now() + (uint64_t)w->conf->drain_lame_duck;
}

/* Whether nobody is left who may still send a call, or the time for it is over. */
static bool has_gone(const struct worker *w, uint64_t now)
{
        bool left = listeners_leave(w->retired);

        if (left && rpc_connections(w->rpc) == 0)
                return true;
        return now >= w->stage_end &&
               (rpc_has_caught_up(w->rpc) || now >= w->stage_end + CATCH_UP_NS);
}

static void step(struct worker *w)
{
        uint64_t now = clock_now();
        bool drained;

        if (w->stage == STAGE_LAME_DUCK && now >= w->stage_end)
                send_goaway(w, GOAWAY_NS);
        if (w->stage == STAGE_GOAWAY && has_gone(w, now))
                drain(w);
        if (w->stage == STAGE_DRAINING && now >= w->stage_end)
                cancel(w);
        if (w->stage < STAGE_DRAINING)
                return;
        drained = build_drain_bricks(w->build, w->stage >= STAGE_CANCELLING);
        if (rpc_step(w->rpc) && door_step(w->door) && drained) {
                w->stage = STAGE_DONE;
                (void)sd_event_exit(w->event, 0);
        }
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct worker *w = userdata;

        step(w);
        if (w->stage == STAGE_DONE)
                return 0;
        (void)sd_event_source_set_time_relative(source, STEP_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_steps(struct worker *w)
{
        return sd_event_add_time_relative(w->event, NULL, CLOCK_MONOTONIC, 0, 1000, on_step, w);
}

/* --- what the main process orders ----------------------------------------------------------------
 */

/* The brick that holds the polling thread, or NULL. Also tells the main process, which otherwise
 * would not know why this worker does not answer. */
static const struct conf_brick *find_stuck(const struct worker *w, uint64_t *ret_held)
{
        const struct conf_brick *brick = entry_stuck(STUCK_NS, ret_held);

        state_set_brick(w->state, STATE_STUCK, brick ? build_index(w->build, brick) : -1);
        return brick;
}

/* While a brick holds the polling thread no call is served, so the worker stays silent and the main
 * process replaces it. */
static void answer_question(struct worker *w)
{
        uint32_t question = state_get_question(w->state);
        uint64_t held;

        if (question == w->question || find_stuck(w, &held))
                return;
        w->question = question;
        state_answer(w->state, question, rpc_connections(w->rpc),
                     rpc_in_flight(w->rpc) + door_in_flight(w->door));
        channel_wake(CHANNEL_FD_CONTROL);
}

static void set_log_levels(struct worker *w)
{
        int level = state_get_log_level(w->state, -1);

        if (level)
                log_set_level((enum log_level)level);
        for (size_t i = 0; i < w->build->n_made; i++) {
                struct instance *instance = w->build->made[i];

                level = state_get_log_level(w->state, build_index(w->build, instance->conf));
                if (level)
                        atomic_store(&instance->log_level, level);
        }
}

static void change_identities(struct worker *w)
{
        _cleanup_free_ char *bytes = NULL;
        size_t length;
        int r;

        if (!w->identities || !identity_text_changed(w->identities))
                return;
        r = identity_text_read(w->identities, &bytes, &length);
        if (r == 0)
                r = auth_set(w->auth, bytes, length);
        /* A revoked identity must not stay valid: rather exit. */
        if (r < 0) {
                (void)log_errno(r, "Cannot read the new identities, this worker exits: %m");
                (void)sd_event_exit(w->event, r);
        }
}

/* Carries out new orders. Several may have arrived together: the mildest comes first. */
static void obey(struct worker *w)
{
        unsigned orders = state_get_orders(w->state), given = orders & ~w->orders;
        bool served = w->stage == STAGE_SERVING;

        w->orders |= orders;
        if (given & STATE_RETIRE) {
                w->retired = true;
                send_goaway(w, (uint64_t)w->conf->drain_retire);
        }
        if (given & STATE_STOP) {
                w->grace = state_get_grace(w->state);
                stop(w);
        }
        if (given & STATE_CANCEL)
                cancel(w);
        if (served && w->stage != STAGE_SERVING)
                (void)start_steps(w);
}

/* A wake-up does not say what has changed, so this checks everything. */
static void read_shared_memory(struct worker *w)
{
        change_identities(w);
        process_bricks_update();
        set_log_levels(w);
        obey(w);
        answer_question(w);
}

/* Lets the kernel kill this process with SIGALRM if a brick keeps it from exiting: the main process
 * cannot do that any more. */
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

        do
                r = channel_receive(fd, &message);
        while (r > 0);
        read_shared_memory(w);
        if (r == -EAGAIN)
                return 0;

        log_warning("The main process has exited: this worker finishes its calls and exits, too");
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        limit_orphan(w);
        if (w->stage == STAGE_SERVING)
                (void)start_steps(w);
        send_goaway(w, GOAWAY_NS);
        return 0;
}

/* --- periodic checks -----------------------------------------------------------------------------
 */

static void check_for_stuck(struct worker *w)
{
        uint64_t held;
        const struct conf_brick *brick = find_stuck(w, &held);

        if (brick && w->stuck != brick) {
                const struct log_field fields[] = {
                        { "BRICK", brick->name, strlen(brick->name) },
                        { "MESSAGE_ID", LOG_ID_BRICK_STUCK, strlen(LOG_ID_BRICK_STUCK) },
                };

                log_fields(LOG_LEVEL_ERROR, fields, ELEMENTSOF(fields),
                           "Brick '%s' has held the polling thread for %" PRIu64
                           " s: no call is served",
                           brick->name, held / NSEC_PER_SEC);
        }
        w->stuck = brick;
}

/* Tells the main process which brick keeps the worker from exiting. */
static void report_held(struct worker *w)
{
        ssize_t holder = -1;
        unsigned calls = 0;

        for (size_t i = 0; i < w->build->n_made; i++) {
                const struct instance *instance = w->build->made[i];
                unsigned n = atomic_load(&instance->stats->in_flight);

                if (n > 0) {
                        holder = build_index(w->build, instance->conf);
                        calls = n;
                }
        }
        state_set_held(w->state, holder, calls);
}

static void count_dropped_lines(struct worker *w)
{
        atomic_store_explicit(&w->stats->head->log_dropped, log_dropped(), memory_order_relaxed);
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct worker *w = userdata;

        count_dropped_lines(w);
        for (size_t i = 0; i < w->build->n_made; i++)
                instance_log_maintain(w->build->made[i]);
        check_for_stuck(w);
        rlimits_maintain();
        rpc_maintain(w->rpc, w->stage <= STAGE_LAME_DUCK);
        client_maintain();
        door_maintain(w->door, w->stage <= STAGE_LAME_DUCK);
        if (w->stage >= STAGE_CANCELLING)
                report_held(w);
        (void)sd_event_source_set_time_relative(source, CHECK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int worker_serve(const struct worker_parts *parts)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct worker w = {
                .conf = parts->conf,
                .build = parts->build,
                .rpc = parts->rpc,
                .door = parts->door,
                .stats = parts->stats,
                .state = parts->state,
                .auth = parts->auth,
                .identities = parts->identities,
                .grace = (uint64_t)parts->conf->drain_grace,
        };
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        w.event = event;
        r = sd_event_add_io(event, NULL, CHANNEL_FD_CONTROL, EPOLLIN, on_channel, &w);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, CHECK_USEC, 0, on_check, &w);
        if (r < 0)
                return r;
        read_shared_memory(&w); /* what has changed while it started */
        state_set_ready(w.state);
        channel_wake(CHANNEL_FD_CONTROL);
        r = sd_event_loop(event);
        count_dropped_lines(&w);
        return r;
}

/* --- crashes ------------------------------------------------------------------------------------
 */

static struct state *crash_state;
static const struct conf *crash_conf;

static void on_crash(int signal_number)
{
        const struct conf_brick *brick = entry_current();

        if (brick)
                state_set_brick(crash_state, STATE_CRASHED, brick - crash_conf->bricks);
        /* SA_RESETHAND has restored the default action: the process dies of this signal. */
        (void)raise(signal_number);
}

void worker_catch_crashes(struct state *state, const struct conf *conf)
{
        static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
        const struct sigaction action = {
                .sa_handler = on_crash,
                .sa_flags = (int)(SA_ONSTACK | SA_RESETHAND | SA_NODEFER),
        };

        crash_state = state;
        crash_conf = conf;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaction(signals[i], &action, NULL);
        entry_guard_thread();
}

/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "conf/conf.h"
#include "manager/bus.h"
#include "manager/describe.h"
#include "manager/http.h"
#include "manager/manager.h"
#include "manager/notify.h"
#include "manager/report.h"
#include "manager/tally.h"
#include "util/clock.h"
#include "util/utf8.h"

/* Without a watchdog of systemd's: how long a worker may be silent. */
#define ANSWER_INTERVAL (10 * NSEC_PER_SEC)
#define TICK_ACCURACY 1000 /* us; 0 would be sd-event's 250 ms */

/* What a stop may take beyond lame_duck and grace, and what is left after it for ourselves. */
#define STOP_MARGIN (5 * NSEC_PER_SEC)
#define EXIT_MARGIN (5 * NSEC_PER_SEC)

/* For the workers of a generation that are too many. */
#define CUT_TIME NSEC_PER_SEC

static void log_event(enum log_level level, const char *id, const char *what, const char *text)
{
        struct log_field fields[] = { { "MESSAGE_ID", id, strlen(id) } };

        log_fields(level, fields, 1, "%s%s", what, text);
}

/* Verdicts */

/* Takes the text. */
static void set_verdict(struct manager *m, struct verdict verdict)
{
        free(m->verdict.text);
        m->reloads += verdict.ok;
        m->reloads_failed += !verdict.ok;
        verdict.time = time(NULL);
        m->verdict = verdict;
        bus_verdict(m->bus);
}

static void refuse_reload(struct manager *m, unsigned generation, const char *why)
{
        set_verdict(m, (struct verdict){ .generation = generation, .text = strdup(why) });
}

/* Going */

static void exit_when_alone(struct manager *m)
{
        if (m->stage == STAGE_STOPPING && !m->current && !m->next && !m->old)
                (void)sd_event_exit(m->event, EXIT_SUCCESS);
}

static void cancel_all(struct manager *m)
{
        log_notice("Asked to stop again: cancelling the calls that still run");
        if (m->current)
                generation_cancel(m->current, STOP_MARGIN);
        for (struct generation *g = m->old; g; g = g->next)
                generation_cancel(g, STOP_MARGIN);
}

static void stop_all(struct manager *m, uint64_t grace, uint64_t limit)
{
        if (m->next)
                generation_stop(m->next, 0, limit);
        for (struct generation *g = m->old, *next; g; g = next) {
                next = g->next;
                generation_stop(g, grace, limit);
        }
        if (m->current)
                generation_stop(m->current, grace, limit);
}

void manager_stop(struct manager *m)
{
        const struct conf *conf = m->current ? m->current->conf : NULL;
        uint64_t grace = conf ? (uint64_t)conf->drain_grace : 0;
        uint64_t limit = STOP_MARGIN + grace + (conf ? (uint64_t)conf->drain_lame_duck : 0);

        if (m->stage == STAGE_STOPPING) {
                cancel_all(m);
                return;
        }
        m->stage = STAGE_STOPPING;
        (void)sd_event_source_set_enabled(m->reload, SD_EVENT_OFF);
        if (m->reload_wanted)
                refuse_reload(m, m->last_number + 1, "brickd is stopping");
        m->reload_wanted = false;
        log_event(LOG_LEVEL_NOTICE, LOG_ID_STOPPING, "Stopping", "");
        notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=stopping",
               (uint64_t)((limit + EXIT_MARGIN) / NSEC_PER_USEC));
        stop_all(m, grace, limit);
        exit_when_alone(m);
}

static void want_reload(struct manager *m)
{
        if (m->reload_wanted && m->stage == STAGE_SERVING && !m->next)
                (void)sd_event_source_set_enabled(m->reload, SD_EVENT_ONESHOT);
}

static void forget(struct manager *m, struct generation *g)
{
        struct generation **link = &m->old;

        if (m->next == g)
                m->next = NULL;
        if (m->current == g)
                m->current = NULL;
        while (*link && *link != g)
                link = &(*link)->next;
        if (*link)
                *link = g->next;
        (void)generation_free(g);
}

static void on_gone(struct generation *g, void *user)
{
        struct manager *m = user;

        if (m->next == g)
                refuse_reload(m, g->number, "brickd is stopping");
        forget(m, g);
        bus_drained(m->bus);
        exit_when_alone(m);
}

static void report_failure(const struct generation *g, const char *what)
{
        if (g->exit_status == EX_CONFIG)
                report_mistakes(g->label, g->reasons, g->n_reasons);
        else
                for (size_t i = 0; i < g->n_reasons; i++)
                        log_error("%s: %s", what, g->reasons[i]);
}

static void on_failed_first(struct manager *m, struct generation *g)
{
        int status = g->exit_status;

        report_failure(g, "Cannot start");
        forget(m, g);
        (void)sd_event_exit(m->event, status);
}

static void on_failed(struct generation *g, void *user)
{
        struct manager *m = user;
        char *text = NULL;
        char serves[64];

        if (m->stage == STAGE_STARTING) {
                on_failed_first(m, g);
                return;
        }
        report_failure(g, "Cannot reload");
        if (m->stage == STAGE_SERVING) {
                (void)snprintf(serves, sizeof serves, "; generation %u serves on",
                               m->current->number);
                log_event(LOG_LEVEL_ERROR, LOG_ID_RELOAD_FAILED, "Reload failed", serves);
        }
        (void)generation_explain(g, &text);
        set_verdict(m, (struct verdict){ .generation = g->number,
                                         .config = g->exit_status == EX_CONFIG,
                                         .text = text });
        forget(m, g);
        notify_status(m, m->stage == STAGE_SERVING ? "READY=1\n" : "");
        want_reload(m);
        exit_when_alone(m);
}

/* What the file says about the log; the level that brickctl has set ends here. */
static void apply_log(const struct conf *conf, const struct conf *before)
{
        if (before && before->log_target != conf->log_target)
                log_set_target(conf->log_target);
        log_set_level(conf->log_level);
}

static void announce(struct manager *m, const struct generation *old)
{
        const struct generation *g = m->current;
        _cleanup_free_ char *text = NULL;

        if (g->conf->n_bricks == 0)
                log_warning("%s lists no bricks: every call is answered \"Method not found!\"",
                            g->name);
        if (describe_ready(g, m->begun, &text) < 0)
                return;
        if (old)
                log_event(LOG_LEVEL_NOTICE, LOG_ID_RELOAD_DONE, "Reloaded: ", text);
        else
                log_event(LOG_LEVEL_NOTICE, LOG_ID_READY, "Ready: ", text);
}

/*
 * Reloads under connections that stay would pile up processes: beyond drain.generations, the oldest
 * is stopped as if brickd were. Should reloads come faster than calls end, those calls are cut off.
 */
static void limit_old(struct manager *m)
{
        const struct conf *conf = m->current->conf;
        const uint64_t grace = (uint64_t)conf->drain_grace;
        unsigned n = 0;

        for (struct generation *g = m->old, *next; g; g = next) {
                next = g->next;
                if (++n <= conf->drain_generations)
                        continue;
                if (generation_is_stopping(g)) {
                        if (n > 2 * conf->drain_generations)
                                generation_cancel(g, CUT_TIME);
                        continue;
                }
                log_notice("Generation %u is stopped early: more than %u replaced "
                           "generations still have connections (drain.generations)",
                           g->number, conf->drain_generations);
                generation_stop(g, grace, STOP_MARGIN + grace);
        }
}

static void on_ready(struct generation *g, void *user)
{
        struct manager *m = user;
        struct generation *old = m->current;
        char *text = NULL;

        m->stage = STAGE_SERVING;
        m->current = TAKE_PTR(m->next);
        apply_log(g->conf, old ? old->conf : NULL);
        announce(m, old);
        bus_listen(m->bus, g->conf->control);
        http_listen(m->http, g->metrics);
        if (old) {
                old->next = m->old;
                m->old = old;
                generation_retire(old);
                limit_old(m);
                (void)describe_serving(m->current, &text);
                set_verdict(m,
                            (struct verdict){ .generation = g->number, .ok = true, .text = text });
        }
        notify_status(m, "READY=1\n");
        want_reload(m);
}

static void on_changed(struct generation *g, void *user)
{
        struct manager *m = user;

        if (g == m->current)
                notify_status(m, "");
        bus_answered(m->bus); /* the dead do not answer */
}

static void on_answered(struct generation *g, void *user)
{
        struct manager *m = user;

        bus_answered(m->bus);
}

/* Coming */

static void extend_timeout(const struct conf *conf)
{
        notify("EXTEND_TIMEOUT_USEC=%" PRIu64,
               (uint64_t)conf->start_timeout / NSEC_PER_USEC + EXIT_MARGIN / NSEC_PER_USEC);
}

/* There is not even a generation to fail. */
static void on_none(struct manager *m, int r)
{
        (void)log_errno(r, "Cannot read %s: %m", m->file);
        if (m->stage == STAGE_STARTING) {
                (void)sd_event_exit(m->event, EXIT_FAILURE);
                return;
        }
        refuse_reload(m, m->last_number, strerror(-r));
        notify_status(m, "READY=1\n");
}

/* Of the first start. A file that cannot be read is said, too. */
static int open_log(const struct conf *conf)
{
        int r = conf ? log_open(conf->log_target, conf->log_level)
                     : log_open(LOG_TARGET_AUTO, LOG_LEVEL_INFO);

        return r < 0 ? log_errno(r, "Cannot start the thread that writes the log: %m") : 0;
}

static int load_next(struct manager *m)
{
        int r = generation_load(m->next), k = 0;

        if (m->stage == STAGE_STARTING)
                k = open_log(m->next->conf);
        return r < 0 ? r : k;
}

static void start_next(struct manager *m)
{
        static const struct generation_ops ops = {
                .ready = on_ready,
                .failed = on_failed,
                .gone = on_gone,
                .changed = on_changed,
                .answered = on_answered,
        };
        int r;

        m->begun = clock_now();
        r = generation_new(&m->next, m->file, ++m->last_number, m->processes, &ops, m);
        if (r < 0) {
                on_none(m, r);
                return;
        }
        m->next->tally = m->tally;
        r = load_next(m);
        if (m->next->conf)
                extend_timeout(m->next->conf);
        if (r == 0)
                r = generation_start(m->next, m->current, &m->inherited);
        if (r == 0 && !m->current)
                http_listen(m->http, m->next->metrics); /* that it lives shows before it serves */
        if (r < 0)
                on_failed(m->next, m);
}

static int on_reload(sd_event_source *source, void *user)
{
        struct manager *m = user;

        m->reload_wanted = false;
        notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
               (uint64_t)(clock_now() / NSEC_PER_USEC));
        start_next(m);
        return 0;
}

int manager_reload(struct manager *m, unsigned *ret_generation)
{
        if (m->stage == STAGE_STOPPING)
                return -ESHUTDOWN;
        m->reload_wanted = true;
        want_reload(m);
        *ret_generation = m->last_number + 1;
        return 0;
}

/* Workers' health */

/* After the machine, or this process, has stood still, no worker is blamed for the time. */
static uint64_t lateness(uint64_t due_usec)
{
        uint64_t now = clock_now(), due = due_usec * NSEC_PER_USEC;

        return now > due ? now - due : 0;
}

/* What systemd has not been told for lack of room. */
static void notify_again(struct manager *m)
{
        if (m->next || !notify_has_lost())
                return;
        if (m->stage == STAGE_SERVING)
                notify_status(m, "READY=1\n");
        else if (m->stage == STAGE_STOPPING)
                notify("STOPPING=1\nSTATUS=stopping");
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
        struct manager *m = user;
        bool well = true;

        if (m->current && m->stage == STAGE_SERVING) {
                well = generation_reap_silent(m->current, m->interval, lateness(usec));
                generation_query(m->current);
        }
        notify_again(m);
        if (m->watchdog && well)
                notify("WATCHDOG=1");
        (void)sd_event_source_set_time_relative(source, m->interval / 2 / NSEC_PER_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_ticking(struct manager *m)
{
        uint64_t usec = 0;

        m->watchdog = sd_watchdog_enabled(true, &usec) > 0;
        m->interval = ANSWER_INTERVAL;
        /* A worker that does not answer must be replaced before systemd loses its patience. */
        if (m->watchdog && usec * NSEC_PER_USEC / 3 < m->interval)
                m->interval = usec * NSEC_PER_USEC / 3;
        return sd_event_add_time_relative(m->event, &m->tick, CLOCK_MONOTONIC,
                                          m->interval / 2 / NSEC_PER_USEC, TICK_ACCURACY, on_tick,
                                          m);
}

/* The bus's questions */

void manager_query(struct manager *m)
{
        if (m->current)
                generation_query(m->current);
        for (struct generation *g = m->old; g; g = g->next)
                generation_query(g);
}

bool manager_awaits_answer(const struct manager *m)
{
        bool awaits = m->current && generation_awaits_answer(m->current);

        for (struct generation *g = m->old; g; g = g->next)
                awaits = awaits || generation_awaits_answer(g);
        return awaits;
}

bool manager_drains_before(const struct manager *m, unsigned generation)
{
        for (const struct generation *g = m->old; g; g = g->next)
                if (g->number < generation)
                        return true;
        return false;
}

int manager_set_log_level(struct manager *m, enum log_level level, const char *brick,
                          const char *module)
{
        int r = 0;

        if (m->current)
                r = generation_set_log_level(m->current, level, brick, module);
        if (r < 0)
                return r;
        if (!brick && !module)
                log_set_level(level);
        for (struct generation *g = m->old; g; g = g->next)
                (void)generation_set_log_level(g, level, brick, module);
        return 0;
}

/* The whole */

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
        manager_stop(user);
        return 0;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *user)
{
        unsigned generation;

        (void)manager_reload(user, &generation);
        return 0;
}

static struct manager *manager_free(struct manager *m)
{
        if (!m)
                return NULL;
        (void)http_free(m->http);
        (void)bus_free(m->bus);
        (void)generation_free(m->next);
        (void)generation_free(m->current);
        while (m->old) {
                struct generation *g = m->old;

                m->old = g->next;
                (void)generation_free(g);
        }
        (void)tally_free(m->tally);
        (void)processes_free(m->processes);
        inherited_done(&m->inherited);
        sd_event_source_disable_unref(m->reload);
        sd_event_source_disable_unref(m->tick);
        sd_event_unref(m->event);
        free(m->verdict.text);
        free(m);
        return NULL;
}
DEFINE_CLEANUP(struct manager *, manager_free);

/*
 * Blocks the signals, before there is any thread: they are read from a descriptor. They stay
 * blocked when sd-event has been freed, which unblocks what it has blocked: a second SIGTERM, sent
 * while the process ends, must not change how it ends.
 */
static int add_signals(struct manager *m)
{
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } signals[] = {
                { SIGTERM, on_stop_signal },
                { SIGINT, on_stop_signal },
                { SIGHUP, on_reload_signal },
        };
        sigset_t blocked;
        int r = 0;

        (void)sigemptyset(&blocked);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaddset(&blocked, signals[i].number);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(m->event, NULL, signals[i].number, signals[i].handler, m);
        return r;
}

static int add_reload(struct manager *m)
{
        int r;

        r = sd_event_add_defer(m->event, &m->reload, on_reload, m);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(m->reload, SD_EVENT_OFF);
}

static int manager_new(struct manager **ret, const char *file)
{
        _cleanup_(manager_freep) struct manager *m = calloc(1, sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;
        m->file = file;
        m->started = clock_now();
        m->start_time = time(NULL);
        r = inherited_init(&m->inherited);
        if (r < 0)
                return r;
        r = sd_event_new(&m->event);
        if (r < 0)
                return r;
        r = add_signals(m);
        if (r < 0)
                return r;
        r = add_reload(m);
        if (r < 0)
                return r;
        r = start_ticking(m);
        if (r < 0)
                return r;
        r = processes_new(&m->processes, m->event);
        if (r < 0)
                return r;
        r = bus_new(&m->bus, m);
        if (r < 0)
                return r;
        r = http_new(&m->http, m);
        if (r < 0)
                return r;
        r = tally_new(&m->tally);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int manager_run(const char *file)
{
        _cleanup_(manager_freep) struct manager *m = NULL;
        int r;

        r = manager_new(&m, file);
        if (r < 0) {
                (void)log_errno(r, "Cannot set up the main process: %m");
                return EXIT_FAILURE;
        }
        start_next(m);
        r = sd_event_loop(m->event);
        if (m->stage == STAGE_STOPPING)
                log_event(LOG_LEVEL_NOTICE, LOG_ID_STOPPED, "Stopped", "");
        return r < 0 ? EXIT_FAILURE : r;
}

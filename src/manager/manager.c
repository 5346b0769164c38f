/* SPDX-License-Identifier: MIT */
#include "manager/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "manager/budgets.h"
#include "manager/bus.h"
#include "manager/describe.h"
#include "manager/http.h"
#include "manager/notify.h"
#include "manager/report.h"
#include "manager/supervisor.h"
#include "manager/tally.h"
#include "manager/watchdog.h"
#include "util/clock.h"
#include "util/errno.h"

/* What a stop may take beyond lame_duck and grace before workers are killed, and what systemd must
 * wait beyond that for the main process. */
#define STOP_MARGIN (5 * NSEC_PER_SEC)
#define EXIT_MARGIN (5 * NSEC_PER_SEC)

/* How long the workers of a generation that is stopped early may take once its calls are cancelled.
 */
#define CUT_TIME NSEC_PER_SEC

struct generation *manager_each(const struct manager *m, const struct generation *g)
{
        if (!g && m->current)
                return m->current;
        if ((!g || g == m->current) && m->next)
                return m->next;
        if (!g || g == m->current || g == m->next)
                return m->old;
        return g->next;
}

/* --- verdicts --------------------------------------------------------------------------------- */

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

/* --- stopping --------------------------------------------------------------------------------- */

static void exit_if_stopped(struct manager *m)
{
        if (m->stage == STAGE_STOPPING && !manager_each(m, NULL) &&
            supervisor_is_idle(m->supervisor))
                (void)sd_event_exit(m->event, EXIT_SUCCESS);
}

static void cancel_all(struct manager *m)
{
        log_notice("Asked to stop again: cancelling the calls that still run");
        if (m->current)
                workers_cancel(&m->current->workers, STOP_MARGIN);
        for (struct generation *g = m->old; g; g = g->next)
                workers_cancel(&g->workers, STOP_MARGIN);
        supervisor_cut(m->supervisor);
}

/* A generation may end and be freed at once. */
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
        report_event(LOG_LEVEL_NOTICE, LOG_ID_STOPPING, NULL, "Stopping");
        notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=stopping",
               (uint64_t)((limit + supervisor_grace(m->supervisor) + EXIT_MARGIN) / NSEC_PER_USEC));
        stop_all(m, grace, limit);
        exit_if_stopped(m);
}

/* --- generations: what they report ------------------------------------------------------------ */

/* Starts a reload that was asked for, unless it must wait for the one that runs. */
static void start_wanted_reload(struct manager *m)
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

static void on_ended(struct generation *g, void *user)
{
        struct manager *m = user;

        if (m->next == g)
                refuse_reload(m, g->number, "brickd is stopping");
        if (m->current == g)
                budgets_finish(m->budgets);
        forget(m, g);
        bus_generation_ended(m->bus);
        exit_if_stopped(m);
}

static void report_failure(const struct generation *g, const char *what)
{
        for (size_t i = 0; i < g->reasons.n; i++)
                if (g->exit_status == EX_CONFIG)
                        report_mistake(g->label, g->reasons.texts[i]);
                else
                        log_error("%s: %s", what, g->reasons.texts[i]);
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

        if (m->stage == STAGE_STARTING) {
                on_failed_first(m, g);
                return;
        }
        report_failure(g, "Cannot reload");
        if (m->stage == STAGE_SERVING)
                report_event(LOG_LEVEL_ERROR, LOG_ID_RELOAD_FAILED, NULL,
                             "Reload failed; generation %u serves on", m->current->number);
        (void)reasons_join(&g->reasons, &text);
        set_verdict(m, (struct verdict){ .generation = g->number,
                                         .config = g->exit_status == EX_CONFIG,
                                         .text = text });
        forget(m, g);
        notify_status(m, m->stage == STAGE_SERVING ? "READY=1\n" : "");
        start_wanted_reload(m);
        exit_if_stopped(m);
}

/* Applies what the file says about the log. A level that brickctl has set ends here. */
static void apply_log(const struct conf *conf, const struct conf *previous)
{
        if (previous && previous->log_target != conf->log_target)
                log_set_target(conf->log_target);
        log_set_level(conf->log_level);
}

static void log_ready(const struct manager *m, bool reloaded)
{
        const struct generation *g = m->current;
        _cleanup_free_ char *text = NULL;

        if (g->conf->n_bricks == 0)
                log_warning("%s lists no bricks: every call is answered \"Method not found!\"",
                            g->name);
        if (describe_ready(g, m->reload_started, &text) < 0)
                return;
        if (reloaded)
                report_event(LOG_LEVEL_NOTICE, LOG_ID_RELOAD_DONE, NULL, "Reloaded: %s", text);
        else
                report_event(LOG_LEVEL_NOTICE, LOG_ID_READY, NULL, "Ready: %s", text);
}

/*
 * Frequent reloads while clients keep their connections would pile up processes. So generations
 * beyond drain.generations are stopped early, as if brickd stopped; beyond twice that number, their
 * calls are cancelled.
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
                if (g->stopping) {
                        if (n > 2 * conf->drain_generations)
                                workers_cancel(&g->workers, CUT_TIME);
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
        bus_listen(m->bus, g->conf->control);
        http_listen(m->http, g->sockets.metrics);
        budgets_watch(m->budgets);
        log_ready(m, old); /* whoever reads this may use brickctl */
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
        start_wanted_reload(m);
}

static void on_changed(struct generation *g, void *user)
{
        struct manager *m = user;

        if (g == m->current)
                notify_status(m, "");
        bus_answered(m->bus); /* a worker that died does not answer any more */
}

static void on_answered(struct generation *g, void *user)
{
        struct manager *m = user;

        bus_answered(m->bus);
}

/* --- the processes of bricks ------------------------------------------------------------------ */

static void on_processes_ended(void *user)
{
        exit_if_stopped(user);
}

static void on_restarted(const char *brick, const char *why, void *user)
{
        bus_restarted(((struct manager *)user)->bus, brick, why);
}

/* --- generations: starting one ---------------------------------------------------------------- */

static void extend_timeout(const struct generation *g)
{
        notify("EXTEND_TIMEOUT_USEC=%" PRIu64,
               ((uint64_t)g->conf->start_timeout + g->workers.start_extra + EXIT_MARGIN) /
                       NSEC_PER_USEC);
}

/* There was no memory even for the generation that would have failed. */
static void on_no_generation(struct manager *m, int r)
{
        (void)log_errno(r, "Cannot read %s: %m", m->file);
        if (m->stage == STAGE_STARTING) {
                (void)sd_event_exit(m->event, EXIT_FAILURE);
                return;
        }
        refuse_reload(m, m->last_number, strerror(-r));
        notify_status(m, "READY=1\n");
}

/* At the first start only. conf: NULL if there are mistakes, which are logged as well. */
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
                .ended = on_ended,
                .changed = on_changed,
                .answered = on_answered,
        };
        int r;

        m->reload_started = clock_now();
        r = generation_new(&m->next, m->file, ++m->last_number, m->processes, &ops, m);
        if (r < 0) {
                on_no_generation(m, r);
                return;
        }
        m->next->tally = m->tally;
        m->next->supervisor = m->supervisor;
        r = load_next(m);
        budgets_load(m->budgets, m->next);
        if (r == 0)
                r = generation_start(m->next, m->current, &m->inherited);
        if (m->next->conf)
                extend_timeout(m->next);
        if (r == 0 && !m->current)
                http_listen(m->http, m->next->sockets.metrics); /* /livez answers from the start */
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
        start_wanted_reload(m);
        *ret_generation = m->last_number + 1;
        return 0;
}

/* --- the main process as a whole -------------------------------------------------------------- */

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
        (void)budgets_free(m->budgets);
        (void)bus_free(m->bus);
        (void)generation_free(m->next);
        (void)generation_free(m->current);
        while (m->old) {
                struct generation *g = m->old;

                m->old = g->next;
                (void)generation_free(g);
        }
        (void)tally_free(m->tally);
        (void)supervisor_free(m->supervisor);
        (void)processes_free(m->processes);
        (void)watchdog_free(m->watchdog);
        inherited_done(&m->inherited);
        sd_event_source_disable_unref(m->reload);
        sd_event_unref(m->event);
        free(m->verdict.text);
        free(m);
        return NULL;
}
DEFINE_CLEANUP(struct manager *, manager_free);

/*
 * Blocks the signals and reads them from a descriptor. Threads started later inherit the mask. The
 * signals stay blocked after sd-event has been freed, which unblocks those that it has blocked: a
 * second SIGTERM, sent while the process exits, must not change its exit status.
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
        static const struct supervisor_ops supervisor_ops = {
                .ended = on_processes_ended,
                .restarted = on_restarted,
        };
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
        r = watchdog_new(&m->watchdog, m);
        if (r < 0)
                return r;
        r = processes_new(&m->processes, m->event);
        if (r < 0)
                return r;
        r = supervisor_new(&m->supervisor, m->processes, &supervisor_ops, m);
        if (r < 0)
                return r;
        r = budgets_new(&m->budgets, m);
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
                return errno_is_descriptors(r) ? EX_UNAVAILABLE : EXIT_FAILURE;
        }
        start_next(m);
        r = sd_event_loop(m->event);
        if (m->stage == STAGE_STOPPING)
                report_event(LOG_LEVEL_NOTICE, LOG_ID_STOPPED, NULL, "Stopped");
        return r < 0 ? EXIT_FAILURE : r;
}

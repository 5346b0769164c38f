/* SPDX-License-Identifier: MIT */
#include "manager/workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "conf/conf.h"
#include "manager/report.h"
#include "manager/tally.h"
#include "shared/balance.h"
#include "util/clock.h"

/* The delay before a restart: none after the first death, then this, doubled with each further
 * death. A worker that was ready for BACKOFF_FORGET counts as recovered. */
#define BACKOFF_FIRST (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX (30 * NSEC_PER_SEC)
#define BACKOFF_FORGET NSEC_PER_SEC

/* The start limit of a worker that only looks for mistakes: the configured one is not known. */
#define CHECK_TIMEOUT (30 * NSEC_PER_SEC)

/* --- starting --------------------------------------------------------------------------------- */

static void send_log_levels(const struct workers *workers, struct process *process)
{
        process_log_levels(process, workers->log_level, workers->brick_log_levels);
}

static void on_ready(struct process *process, void *user)
{
        struct workers *workers = ((struct slot *)user)->workers;

        if (!workers->spawn.check)
                send_log_levels(workers, process);
        workers->ops->ready(workers, workers->user);
}

static void on_answered(struct process *process, void *user)
{
        struct workers *workers = ((struct slot *)user)->workers;

        workers->silent = false;
        workers->ops->answered(workers, workers->user);
}

static void on_exited(struct process *process, void *user)
{
        struct slot *slot = user;
        struct workers *workers = slot->workers;
        _cleanup_(process_freep) struct process *dead = TAKE_PTR(slot->process);

        balance_forget(workers->balance, slot->index);
        if (workers->tally && workers->conf)
                (void)tally_add(workers->tally, workers->conf, dead->stats, TALLY_DEAD);
        workers->ops->exited(slot, dead, workers->user);
}

static int slot_start(struct slot *slot)
{
        static const struct process_ops ops = {
                .ready = on_ready,
                .answered = on_answered,
                .exited = on_exited,
        };
        struct workers *workers = slot->workers;
        struct spawn spawn = workers->spawn;

        spawn.worker = slot->index;
        return process_new(&slot->process, workers->processes, &spawn, workers->conf,
                           workers->conf
                                   ? (uint64_t)workers->conf->start_timeout + workers->start_extra
                                   : CHECK_TIMEOUT,
                           &ops, slot);
}

int workers_start(struct workers *workers, size_t n)
{
        int r;

        workers->slots = calloc(n, sizeof *workers->slots);
        if (!workers->slots)
                return -ENOMEM;
        workers->n = n;
        r = balance_new(&workers->balance, (unsigned)n);
        if (r < 0)
                return r;
        workers->spawn.balance = balance_fd(workers->balance);
        for (size_t i = 0; r == 0 && i < n; i++) {
                workers->slots[i] = (struct slot){ .workers = workers, .index = (unsigned)i };
                r = slot_start(&workers->slots[i]);
        }
        return r;
}

void workers_done(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++) {
                sd_event_source_disable_unref(workers->slots[i].timer);
                (void)process_free(workers->slots[i].process);
        }
        free(workers->slots);
        (void)balance_free(workers->balance);
        free(workers->brick_log_levels);
}

/* --- restarting ------------------------------------------------------------------------------- */

static uint64_t backoff(unsigned failures)
{
        if (failures == 0)
                return 0;
        if (failures > 9)
                return BACKOFF_MAX;
        return BACKOFF_FIRST << (failures - 1);
}

static void slot_start_later(struct slot *slot);

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct slot *slot = user;
        int r;

        slot->timer = sd_event_source_disable_unref(slot->timer);
        r = slot_start(slot);
        if (r == 0) {
                slot->restarts++;
                slot->workers->tally->restarts++;
                return 0;
        }
        (void)log_errno(r, "Cannot start worker %u again: %s: %m", slot->index, spawn_executable());
        slot_start_later(slot);
        return 0;
}

static void slot_start_later(struct slot *slot)
{
        uint64_t delay = backoff(slot->failures++);
        int r;

        r = sd_event_add_time_relative(processes_event(slot->workers->processes), &slot->timer,
                                       CLOCK_MONOTONIC, delay / NSEC_PER_USEC, 1, on_timer, slot);
        if (r < 0) /* workers_reap_silent() tries again */
                (void)log_errno(r, "Cannot schedule the restart of worker %u yet: %m", slot->index);
}

/* next: what happens now, after "; ", or "". */
static void log_death(const struct slot *slot, const struct process *dead, const char *next)
{
        _cleanup_free_ char *epitaph = NULL;

        if (process_epitaph(dead, &epitaph) < 0)
                return;
        report_event(LOG_LEVEL_ERROR, LOG_ID_WORKER_DIED, process_blames(dead),
                     "Worker %u (pid %d, generation %u) %s%s", slot->index, dead->pid,
                     slot->workers->spawn.generation, epitaph, next);
}

void slot_restart(struct slot *slot, const struct process *dead)
{
        char next[64] = "; starting it again";

        if (dead->ready > 0 && clock_now() - dead->ready >= BACKOFF_FORGET)
                slot->failures = 0;
        for (size_t i = 0; i < dead->n_diagnostics; i++)
                log_error("%s", dead->diagnostics[i]);
        if (!process_was_silent(dead))
                slot->workers->silent = false;
        if (slot->failures > 0)
                (void)snprintf(next, sizeof next, "; starting it again in %gs",
                               (double)backoff(slot->failures) / (double)NSEC_PER_SEC);
        log_death(slot, dead, next);
        slot_start_later(slot);
}

void slot_log_end(const struct slot *slot, const struct process *dead)
{
        bool succeeded = dead->exit_code == CLD_EXITED && dead->exit_status == 0;

        /* A worker that was never ready is killed when it is not wanted any more. */
        if (dead->ready > 0 && !succeeded)
                log_death(slot, dead, "");
}

/* --- ending ----------------------------------------------------------------------------------- */

static void cancel_restarts(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                workers->slots[i].timer = sd_event_source_disable_unref(workers->slots[i].timer);
}

void workers_retire(struct workers *workers, uint64_t limit)
{
        cancel_restarts(workers);
        for (size_t i = 0; i < workers->n; i++) {
                struct process *process = workers->slots[i].process;

                if (process && process->state == PROCESS_STARTING)
                        process_stop(process, 0, 0);
                else if (process)
                        process_retire(process, limit);
        }
}

void workers_stop(struct workers *workers, uint64_t grace, uint64_t limit)
{
        cancel_restarts(workers);
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        process_stop(workers->slots[i].process, grace, limit);
}

void workers_cancel(struct workers *workers, uint64_t limit)
{
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        process_cancel(workers->slots[i].process, limit);
}

void workers_kill(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        process_kill(workers->slots[i].process);
}

/* --- asking and telling ----------------------------------------------------------------------- */

void workers_wake(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        process_wake(workers->slots[i].process);
}

size_t workers_count_running(const struct workers *workers)
{
        size_t n = 0;

        for (size_t i = 0; i < workers->n; i++)
                n += workers->slots[i].process != NULL;
        return n;
}

size_t workers_count_ready(const struct workers *workers)
{
        size_t n = 0;

        for (size_t i = 0; i < workers->n; i++)
                n += workers->slots[i].process && workers->slots[i].process->state == PROCESS_READY;
        return n;
}

void workers_query(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        process_query(workers->slots[i].process);
}

bool workers_await_answer(const struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process && workers->slots[i].process->asked)
                        return true;
        return false;
}

static void log_silent(const struct slot *slot, uint64_t interval)
{
        const char *brick = process_stuck(slot->process);

        report_event(LOG_LEVEL_ERROR, LOG_ID_BRICK_STUCK, brick,
                     "Worker %u (pid %d) has not answered for %gs%s%s%s; killing it", slot->index,
                     slot->process->pid, (double)interval / (double)NSEC_PER_SEC,
                     brick ? ": brick '" : "", brick ? brick : "",
                     brick ? "' holds its polling thread" : "");
}

bool workers_reap_silent(struct workers *workers, uint64_t interval, uint64_t late)
{
        uint64_t now = clock_now();
        bool starting = false;

        for (size_t i = 0; i < workers->n; i++) {
                struct slot *slot = &workers->slots[i];
                struct process *process = slot->process;

                if (!process && !slot->timer) /* there was no memory for the timer */
                        slot_start_later(slot);
                if (!process)
                        continue;
                starting = starting || process->state == PROCESS_STARTING;
                if (process->state != PROCESS_READY || !process->asked ||
                    now - process->asked <= interval + late)
                        continue;
                log_silent(slot, interval);
                process_abort(process);
                workers->silent = true;
        }
        return !workers->silent || starting;
}

/* -ENOENT: no brick has that name or is made from that module. */
static int set_brick_levels(struct workers *workers, enum log_level level, const char *brick,
                            const char *module)
{
        const struct conf *conf = workers->conf;
        int r = -ENOENT;

        if (!workers->brick_log_levels)
                workers->brick_log_levels = calloc(conf->n_bricks + 1,
                                                   sizeof *workers->brick_log_levels);
        if (!workers->brick_log_levels)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_bricks; i++) {
                const struct conf_brick *candidate = &conf->bricks[i];

                if (brick ? strcmp(candidate->name, brick) != 0
                          : strcmp(candidate->module, module) != 0)
                        continue;
                workers->brick_log_levels[i] = (int)level;
                r = 0;
        }
        return r;
}

int workers_set_log_level(struct workers *workers, enum log_level level, const char *brick,
                          const char *module)
{
        int r;

        if (brick || module) {
                r = set_brick_levels(workers, level, brick, module);
                if (r < 0)
                        return r;
        } else {
                workers->log_level = (int)level;
        }
        for (size_t i = 0; i < workers->n; i++)
                if (workers->slots[i].process)
                        send_log_levels(workers, workers->slots[i].process);
        return 0;
}

/* SPDX-License-Identifier: MIT */

/* Metrics of the worker processes and of the main process. */

#include <sys/resource.h>

#include "config.h"
#include "manager/manager.h"
#include "manager/metrics-page.h"
#include "manager/tally.h"

/* --- workers ---------------------------------------------------------------------------------- */

static void put_workers(struct page *p)
{
        for (unsigned state = PROCESS_STARTING; state < PROCESS_EXITED; state++) {
                size_t n = 0;

                for (size_t i = 0; i < p->n_workers; i++)
                        n += p->workers[i].slot->process->state == state;
                page_begin(p, "");
                page_label(p, "state", process_state_to_string(state));
                page_end(p, n);
        }
}

static void put_restarts(struct page *p)
{
        page_value(p, p->tally->restarts);
}

static void begin_worker(struct page *p, const struct metrics_worker *worker)
{
        page_begin(p, "");
        page_label_number(p, "generation", worker->slot->workers->spawn.generation);
        page_label_number(p, "worker", worker->slot->index);
}

static void put_start(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                const struct process *process = p->workers[i].slot->process;

                if (process->ready == 0)
                        continue;
                begin_worker(p, &p->workers[i]);
                page_end_seconds(p, process->ready - process->since);
        }
}

static void put_worker_resident(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                page_end(p, p->workers[i].proc.resident);
        }
}

static void put_worker_cpu(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                page_end_double(p, p->workers[i].proc.cpu);
        }
}

static void put_worker_fds(struct page *p)
{
        for (size_t i = 0; i < p->n_workers; i++) {
                if (!p->workers[i].known)
                        continue;
                begin_worker(p, &p->workers[i]);
                page_end(p, p->workers[i].proc.fds);
        }
}

/* --- the main process ------------------------------------------------------------------------- */

static void put_build(struct page *p)
{
        page_begin(p, "");
        page_label(p, "version", BRICKD_VERSION);
        page_end(p, 1);
}

static void put_generation(struct page *p)
{
        page_value(p, p->m->current ? p->m->current->number : 0);
}

static void put_reloads(struct page *p)
{
        page_begin(p, "");
        page_label(p, "result", "ok");
        page_end(p, p->m->reloads);
        page_begin(p, "");
        page_label(p, "result", "failed");
        page_end(p, p->m->reloads_failed);
}

static void put_reload_ok(struct page *p)
{
        page_value(p, p->m->verdict.generation == 0 || p->m->verdict.ok);
}

static void put_reload_time(struct page *p)
{
        if (p->m->verdict.generation > 0)
                page_value(p, (uint64_t)p->m->verdict.time);
}

static void put_log_dropped(struct page *p)
{
        page_value(p, p->tally->log_dropped + log_dropped());
}

static void put_cpu(struct page *p)
{
        page_begin(p, "");
        page_end_double(p, p->self.cpu);
}

static void put_resident(struct page *p)
{
        page_value(p, p->self.resident);
}

static void put_virtual(struct page *p)
{
        page_value(p, p->self.virtual);
}

static void put_fds(struct page *p)
{
        page_value(p, p->self.fds);
}

static void put_max_fds(struct page *p)
{
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0)
                page_value(p, files.rlim_cur);
}

static void put_start_time(struct page *p)
{
        page_value(p, (uint64_t)p->m->start_time);
}

const struct metric metrics_of_processes[] = {
        { "brickd_workers", "gauge", "Worker processes.", put_workers },
        { "brickd_worker_restarts_total", "counter", "Workers started in place of one that died.",
          put_restarts },
        { "brickd_worker_start_seconds", "gauge", "Time that the worker took to become ready.",
          put_start },
        { "brickd_worker_resident_memory_bytes", "gauge", "Resident memory of the worker.",
          put_worker_resident },
        { "brickd_worker_cpu_seconds_total", "counter", "Processor time of the worker.",
          put_worker_cpu },
        { "brickd_worker_open_fds", "gauge", "Open descriptors of the worker.", put_worker_fds },
        { "brickd_generation", "gauge", "Number of the generation that serves.", put_generation },
        { "brickd_reloads_total", "counter", "Reloads of the configuration.", put_reloads },
        { "brickd_last_reload_successful", "gauge", "0 if the last reload failed, else 1.",
          put_reload_ok },
        { "brickd_last_reload_timestamp_seconds", "gauge", "When the last reload ended.",
          put_reload_time },
        { "brickd_log_lines_dropped_total", "counter",
          "Log lines that were dropped because the log could not be written in time.",
          put_log_dropped },
        { "brickd_build_info", "gauge", "The version of brickd.", put_build },
        { "process_cpu_seconds_total", "counter", "Processor time of the main process.", put_cpu },
        { "process_resident_memory_bytes", "gauge", "Resident memory of the main process.",
          put_resident },
        { "process_virtual_memory_bytes", "gauge", "Virtual memory of the main process.",
          put_virtual },
        { "process_open_fds", "gauge", "Open descriptors of the main process.", put_fds },
        { "process_max_fds", "gauge", "Limit of open descriptors of the main process.",
          put_max_fds },
        { "process_start_time_seconds", "gauge", "When the main process was started.",
          put_start_time },
        {},
};

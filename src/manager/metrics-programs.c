/* SPDX-License-Identifier: MIT */

/* Metrics of the processes of bricks. */

#include <string.h>

#include "manager/manager.h"
#include "manager/metrics-page.h"
#include "manager/program.h"
#include "manager/supervisor.h"

/* An older generation may have processes of the same brick: only the newest are shown, since two
 * lines must not have the same labels. */
static bool is_newest(const struct supervisor *supervisor, const struct pool *pool)
{
        const struct pool *other = NULL;

        while ((other = supervisor_each(supervisor, other)) && other != pool)
                if (strcmp(other->brick, pool->brick) == 0)
                        return false;
        return true;
}

static void put_each(struct page *p, void (*put)(struct page *p, const struct program *program))
{
        const struct supervisor *supervisor = p->m->supervisor;
        const struct pool *pool = NULL;

        while ((pool = supervisor_each(supervisor, pool)))
                for (size_t i = 0; is_newest(supervisor, pool) && i < pool->spec->count; i++)
                        put(p, pool->programs[i]);
}

static void begin(struct page *p, const struct program *program)
{
        page_begin(p, "");
        page_label(p, "brick", program->settings.brick);
        page_label_number(p, "process", program->settings.index);
}

static void one_ready(struct page *p, const struct program *program)
{
        begin(p, program);
        page_end(p, program->state == PROGRAM_STATE_READY);
}

static void put_ready(struct page *p)
{
        put_each(p, one_ready);
}

static void one_restarts(struct page *p, const struct program *program)
{
        begin(p, program);
        page_end(p, program->restarts);
}

static void put_restarts(struct page *p)
{
        put_each(p, one_restarts);
}

static void one_dropped(struct page *p, const struct program *program)
{
        begin(p, program);
        page_end(p, program->capture.total);
}

static void put_dropped(struct page *p)
{
        put_each(p, one_dropped);
}

static void one_resident(struct page *p, const struct program *program)
{
        struct proc proc;

        if (program->pid == 0 || proc_read(&proc, program->pid) < 0)
                return;
        begin(p, program);
        page_end(p, proc.resident);
}

static void put_resident(struct page *p)
{
        put_each(p, one_resident);
}

static void one_cpu(struct page *p, const struct program *program)
{
        struct proc proc;

        if (program->pid == 0 || proc_read(&proc, program->pid) < 0)
                return;
        begin(p, program);
        page_end_double(p, proc.cpu);
}

static void put_cpu(struct page *p)
{
        put_each(p, one_cpu);
}

const struct metric metrics_of_programs[] = {
        { "brickd_brick_process_ready", "gauge", "1 if the process of the brick serves, else 0.",
          put_ready },
        { "brickd_brick_process_restarts_total", "counter",
          "Processes of the brick started in place of one that ended.", put_restarts },
        { "brickd_brick_process_resident_memory_bytes", "gauge",
          "Resident memory of the process of the brick.", put_resident },
        { "brickd_brick_process_cpu_seconds_total", "counter",
          "Processor time of the process of the brick.", put_cpu },
        { "brickd_brick_process_log_lines_dropped_total", "counter",
          "Lines that the process wrote and that were not logged, because they were too many.",
          put_dropped },
        {},
};

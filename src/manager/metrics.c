/* SPDX-License-Identifier: MIT */

/* manager_metrics(): the page of all metrics, in Prometheus's text format 0.0.4. */

#include <errno.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/metrics-page.h"
#include "manager/tally.h"

static int find_workers(struct page *p)
{
        const struct generation *g = NULL;
        size_t n = 0;

        while ((g = manager_each(p->m, g)))
                n += g->workers.n;
        p->workers = calloc(n + 1, sizeof *p->workers);
        if (!p->workers)
                return -ENOMEM;
        while ((g = manager_each(p->m, g)))
                for (size_t i = 0; i < g->workers.n; i++) {
                        const struct slot *slot = &g->workers.slots[i];
                        struct metrics_worker *worker = &p->workers[p->n_workers];

                        if (!slot->process)
                                continue;
                        worker->slot = slot;
                        worker->known = proc_read(&worker->proc, slot->process->pid) == 0;
                        p->n_workers++;
                }
        return 0;
}

static void put_all(struct page *p, const struct metric *metrics)
{
        for (; metrics->name; metrics++) {
                page_family(p, metrics->name, metrics->help, metrics->type);
                metrics->put(p);
        }
}

int manager_metrics(const struct manager *m, char **ret, size_t *ret_length)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        _cleanup_free_ struct metrics_worker *workers = NULL;
        struct page p = { .m = m };
        int r;

        r = manager_tally(m, &tally);
        if (r < 0)
                return r;
        p.tally = tally;
        r = find_workers(&p);
        if (r < 0)
                return r;
        workers = p.workers;
        (void)proc_read(&p.self, getpid());
        p.f = open_memstream(ret, ret_length);
        if (!p.f)
                return -ENOMEM;
        (void)__fsetlocking(p.f, FSETLOCKING_BYCALLER); /* no other thread uses it */
        put_all(&p, metrics_of_bricks);
        put_all(&p, metrics_of_identities);
        put_all(&p, metrics_of_ports);
        put_all(&p, metrics_of_processes);
        put_all(&p, metrics_of_programs);
        if (p.tally->n_genai > 0)
                metrics_put_genai(&p);
        return fclose(p.f) == 0 ? 0 : -ENOMEM;
}

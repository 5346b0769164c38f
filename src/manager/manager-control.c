/* SPDX-License-Identifier: MIT */

/* What the control bus asks the generations for, and tells them. */

#include <errno.h>

#include "manager/crew.h"
#include "manager/manager.h"

void manager_query(struct manager *m)
{
        if (m->current)
                workers_query(&m->current->workers);
        for (struct generation *g = m->old; g; g = g->next)
                workers_query(&g->workers);
}

int manager_restart(struct manager *m, const char *brick, size_t *ret_n)
{
        return m->current ? crew_restart(m->current->crew, brick, ret_n) : -ENOENT;
}

bool manager_awaits_answer(const struct manager *m)
{
        bool awaits = m->current && workers_await_answer(&m->current->workers);

        for (struct generation *g = m->old; g; g = g->next)
                awaits = awaits || workers_await_answer(&g->workers);
        return awaits;
}

bool manager_retires_before(const struct manager *m, unsigned generation)
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
                r = workers_set_log_level(&m->current->workers, level, brick, module);
        if (r < 0)
                return r;
        if (!brick && !module)
                log_set_level(level);
        for (struct generation *g = m->old; g; g = g->next)
                (void)workers_set_log_level(&g->workers, level, brick, module);
        return 0;
}

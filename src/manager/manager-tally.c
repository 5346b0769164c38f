/* SPDX-License-Identifier: MIT */

/* manager_tally(): adds what running workers have counted to what dead ones have. */

#include "manager/manager.h"
#include "manager/tally.h"

static enum tally_kind kind_of(const struct manager *m, const struct slot *slot)
{
        return m->current && slot->workers == &m->current->workers &&
                               slot->process->state == PROCESS_READY
                       ? TALLY_SERVES
                       : TALLY_LIVE;
}

static int add_workers(struct tally *tally, const struct manager *m, const struct workers *workers)
{
        int r = 0;

        for (size_t i = 0; r == 0 && workers->conf && i < workers->n; i++) {
                const struct slot *slot = &workers->slots[i];

                if (slot->process)
                        r = tally_add(tally, workers->conf, slot->process->stats, kind_of(m, slot));
        }
        return r;
}

int manager_tally(const struct manager *m, struct tally **ret)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        const struct generation *g = NULL;
        int r;

        r = tally_copy(&tally, m->tally);
        while (r == 0 && (g = manager_each(m, g)))
                r = add_workers(tally, m, &g->workers);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(tally);
        return 0;
}

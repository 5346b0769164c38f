/* SPDX-License-Identifier: MIT */
#include "manager/describe.h"

#include <inttypes.h>
#include <stdio.h>

#include "conf/conf.h"
#include "manager/generation.h"
#include "manager/socket.h"
#include "util/clock.h"
#include "util/plural.h"

int describe_ready(const struct generation *g, uint64_t since, char **ret)
{
        size_t size;
        FILE *f = open_memstream(ret, &size);

        if (!f)
                return -ENOMEM;
        (void)fprintf(f, "%zu brick%s on ", g->conf->n_bricks, plural(g->conf->n_bricks));
        for (size_t i = 0; i < g->sockets.n_ports; i++)
                (void)fprintf(f, "%s%s", i > 0 ? ", " : "", g->sockets.ports[i]->address);
        if (g->sockets.metrics)
                (void)fprintf(f, ", metrics on %s", g->sockets.metrics->address);
        (void)fprintf(f, " (generation %u, %zu worker%s, %" PRIu64 " ms)", g->number, g->workers.n,
                      plural(g->workers.n), (uint64_t)((clock_now() - since) / NSEC_PER_MSEC));
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

int describe_serving(const struct generation *g, char **ret)
{
        size_t ready = workers_count_ready(&g->workers);
        char fewer[64] = "";

        if (ready < g->workers.n)
                (void)snprintf(fewer, sizeof fewer, " (%zu ready)", ready);
        return asprintf(ret, "serving %zu brick%s on %zu port%s, generation %u, %zu worker%s%s",
                        g->conf->n_bricks, plural(g->conf->n_bricks), g->sockets.n_ports,
                        plural(g->sockets.n_ports), g->number, g->workers.n, plural(g->workers.n),
                        fewer) < 0
                       ? -ENOMEM
                       : 0;
}

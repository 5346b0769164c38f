/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "config.h"
#include "manager/manager.h"
#include "manager/tally.h"
#include "util/clock.h"
#include "util/json.h"

/* The bricks as brickctl shows them: those of the configuration, then those that only workers which
 * go still have. */

static void put_string(FILE *f, const char *key, const char *s)
{
        (void)fprintf(f, "\"%s\":", key);
        if (s)
                json_put_string(f, s, strlen(s));
        else
                (void)fputs("null", f);
}

static unsigned workers_of(const struct tally_brick *brick)
{
        return brick->healthy + brick->sick;
}

/* Of several types that a brick has had, the one that most workers say it has, then the last one.
 * NULL: no worker has made it yet. */
static const struct tally_brick *find_brick(const struct tally *tally, const char *name)
{
        const struct tally_brick *found = NULL;

        for (size_t i = 0; i < tally->n_bricks; i++) {
                const struct tally_brick *brick = tally->bricks[i];

                if (strcmp(brick->name, name) != 0)
                        continue;
                if (!found || workers_of(brick) > workers_of(found) ||
                    (workers_of(brick) == workers_of(found) && brick->touched > found->touched))
                        found = brick;
        }
        return found;
}

static const char *state_of(const struct tally_brick *brick)
{
        if (!brick || workers_of(brick) == 0)
                return "starting";
        return brick->sick > 0 ? "unhealthy" : "ready";
}

/* All methods together. */
static void put_durations(FILE *f, const struct tally_brick *brick)
{
        struct stats_histogram sum = {};

        for (size_t m = 0; brick && m < STATS_METHODS; m++)
                stats_add(&sum, &brick->counters.methods[m].duration, sizeof sum);
        (void)fprintf(f, ",\"duration\":{\"sum\":%" PRIu64 ",\"buckets\":[", stats_get(&sum.sum));
        for (size_t i = 0; i <= STATS_BUCKETS; i++)
                (void)fprintf(f, "%s%" PRIu64, i > 0 ? "," : "", stats_get(&sum.buckets[i]));
        (void)fputs("]}", f);
}

static void put_brick(FILE *f, const char *name, const char *module, const char *state,
                      const struct tally_brick *brick, bool durations)
{
        uint64_t calls = 0, failures = 0;

        if (brick)
                stats_totals(&brick->counters, &calls, &failures);
        (void)fputc('{', f);
        put_string(f, "name", name);
        (void)fputc(',', f);
        put_string(f, "type", brick ? brick_type_to_string(brick->type) : NULL);
        (void)fputc(',', f);
        put_string(f, "module", module);
        (void)fprintf(f,
                      ",\"state\":\"%s\",\"in_flight\":%" PRIu64 ",\"queued\":%" PRIu64
                      ",\"calls\":%" PRIu64 ",\"failures\":%" PRIu64,
                      state, brick ? brick->in_flight : 0, brick ? brick->queued : 0, calls,
                      failures);
        if (brick && brick->sick > 0) {
                (void)fputc(',', f);
                put_string(f, "unhealthy", brick->reason);
        }
        if (durations)
                put_durations(f, brick);
        (void)fputc('}', f);
}

void manager_put_bricks(const struct manager *m, const struct tally *tally, bool durations, FILE *f)
{
        const struct conf *conf = m->current ? m->current->conf : NULL;
        const char *separator = "";

        (void)fputs("\"bricks\":[", f);
        for (size_t i = 0; conf && i < conf->n_bricks; i++) {
                const struct conf_brick *brick = &conf->bricks[i];
                const struct tally_brick *counted = find_brick(tally, brick->name);

                (void)fputs(separator, f);
                put_brick(f, brick->name, brick->module, state_of(counted), counted, durations);
                separator = ",";
        }
        for (size_t i = 0; i < tally->n_bricks; i++) {
                const struct tally_brick *brick = tally->bricks[i];

                if (!brick->live || (conf && conf_find_brick(conf, brick->name) >= 0))
                        continue;
                (void)fputs(separator, f);
                put_brick(f, brick->name, NULL, conf ? "retiring" : "starting", brick, durations);
                separator = ",";
        }
        (void)fputc(']', f);
}

int manager_stats(const struct manager *m, char **ret)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        size_t size;
        FILE *f;
        int r;

        r = manager_tally(m, &tally);
        if (r < 0)
                return r;
        f = open_memstream(ret, &size);
        if (!f)
                return -ENOMEM;
        (void)fprintf(f,
                      "{\"version\":\"%s\",\"state\":\"%s\",\"generation\":%u,\"workers\":%zu,"
                      "\"workers_ready\":%zu,\"time\":%" PRIu64 ",\"bounds\":[",
                      BRICKD_VERSION, stage_to_string(m->stage),
                      m->current ? m->current->number : 0, m->current ? m->current->workers.n : 0,
                      m->current ? workers_count_ready(&m->current->workers) : 0, clock_now());
        for (size_t i = 0; i < STATS_BUCKETS; i++)
                (void)fprintf(f, "%s%" PRIu64, i > 0 ? "," : "", stats_bounds[i]);
        (void)fputs("],", f);
        manager_put_bricks(m, tally, true, f);
        (void)fputc('}', f);
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

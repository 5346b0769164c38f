/* SPDX-License-Identifier: MIT */
#include "manager/bricks.h"

#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "manager/json.h"
#include "manager/manager.h"
#include "manager/tally.h"

static unsigned count_workers(const struct tally_brick *brick)
{
        return brick->healthy + brick->sick;
}

/*
 * The entry of a name. The tally has one for each type that the brick has had; this gives the type
 * that most workers report, and of equals the one that was counted last. NULL: no worker has
 * created the brick yet.
 */
static const struct tally_brick *find_brick(const struct tally *tally, const char *name)
{
        const struct tally_brick *found = NULL;

        for (size_t i = 0; i < tally->n_bricks; i++) {
                const struct tally_brick *brick = tally->bricks[i];

                if (strcmp(brick->name, name) != 0)
                        continue;
                if (!found || count_workers(brick) > count_workers(found) ||
                    (count_workers(brick) == count_workers(found) &&
                     brick->touched > found->touched))
                        found = brick;
        }
        return found;
}

static const char *state_of(const struct tally_brick *brick)
{
        if (!brick || count_workers(brick) == 0)
                return "starting";
        return brick->sick > 0 ? "unhealthy" : "ready";
}

/* The calls of all methods. brick: NULL is none. */
static json_t *durations_to_json(const struct tally_brick *brick)
{
        json_auto_t *buckets = json_array();
        struct stats_histogram sum = {};
        int r = 0;

        for (size_t m = 0; brick && m < STATS_METHODS; m++)
                stats_add(&sum, &brick->counters.methods[m].duration, sizeof sum);
        for (size_t i = 0; r == 0 && i <= STATS_BUCKETS; i++)
                r = json_array_append_new(buckets,
                                          json_integer((json_int_t)stats_get(&sum.buckets[i])));
        if (r < 0)
                return NULL;
        return json_pack("{s:I, s:O}", "sum", (json_int_t)stats_get(&sum.sum), "buckets", buckets);
}

static json_t *backends_to_json(const struct tally_brick *brick)
{
        json_auto_t *array = json_array();
        int r = 0;

        for (size_t i = 0; r == 0 && i < brick->n_backends; i++) {
                const struct tally_backend *backend = &brick->backends[i];

                if (!backend->live)
                        continue;
                r = json_array_append_new(
                        array,
                        json_pack("{s:o, s:s, s:I, s:I, s:I}", "name", json_text(backend->name),
                                  "state", backend_state_to_string(backend->state), "calls",
                                  (json_int_t)stats_get(&backend->counters.calls), "failures",
                                  (json_int_t)stats_get(&backend->counters.failures), "in_flight",
                                  (json_int_t)backend->in_flight));
        }
        return r == 0 ? json_incref(array) : NULL;
}

/* brick: NULL is one that no worker has created. */
static int add_brick(json_t *array, const char *name, const char *module, const char *state,
                     const struct tally_brick *brick, bool durations)
{
        json_auto_t *json = NULL;
        uint64_t calls = 0, failures = 0;
        int r = 0;

        if (brick)
                stats_totals(&brick->counters, &calls, &failures);
        json = json_pack("{s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I}", "name", json_text(name),
                         "type", json_text(brick ? brick_type_to_string(brick->type) : NULL),
                         "module", json_text(module), "state", state, "in_flight",
                         (json_int_t)(brick ? brick->in_flight : 0), "queued",
                         (json_int_t)(brick ? brick->queued : 0), "calls", (json_int_t)calls,
                         "failures", (json_int_t)failures);
        if (brick && brick->sick > 0)
                r = json_object_set_new(json, "unhealthy", json_text(brick->reason));
        if (r == 0 && brick && brick->n_backends > 0)
                r = json_object_set_new(json, "backends", backends_to_json(brick));
        if (r == 0 && durations)
                r = json_object_set_new(json, "duration", durations_to_json(brick));
        return r == 0 ? json_array_append(array, json) : r;
}

json_t *bricks_to_json(const struct manager *m, const struct tally *tally, bool durations)
{
        const struct conf *conf = m->current ? m->current->conf : NULL;
        json_auto_t *array = json_array();
        int r = 0;

        for (size_t i = 0; r == 0 && conf && i < conf->n_bricks; i++) {
                const struct conf_brick *brick = &conf->bricks[i];
                const struct tally_brick *counted = find_brick(tally, brick->name);

                r = add_brick(array, brick->name, brick->module, state_of(counted), counted,
                              durations);
        }
        for (size_t i = 0; r == 0 && i < tally->n_bricks; i++) {
                const struct tally_brick *brick = tally->bricks[i];

                if (brick->live && !(conf && conf_find_brick(conf, brick->name) >= 0))
                        r = add_brick(array, brick->name, NULL, conf ? "retiring" : "starting",
                                      brick, durations);
        }
        return r == 0 ? json_incref(array) : NULL;
}

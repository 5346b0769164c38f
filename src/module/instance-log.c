/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "module/instance.h"
#include "util/clock.h"
#include "util/log.h"

/* A brick may log some lines for each of its calls. */
static const struct {
        unsigned most;
        uint64_t interval;
} limits[INSTANCE_LINES] = {
        [LINE_OWN] = { 1000, NSEC_PER_SEC },
        [LINE_HEALTH] = { 10, 10 * NSEC_PER_SEC },
        [LINE_MISUSE] = { 100, 10 * NSEC_PER_SEC },
        [LINE_SLOW] = { 10, 10 * NSEC_PER_SEC },
};

void instance_log_init(struct instance_log *log)
{
        for (unsigned i = 0; i < INSTANCE_LINES; i++)
                line_limit_init(&log->limits[i], limits[i].most, limits[i].interval);
}

void instance_log_done(struct instance_log *log)
{
        for (unsigned i = 0; i < INSTANCE_LINES; i++)
                line_limit_done(&log->limits[i]);
}

bool instance_log_pass(struct instance *instance, enum instance_line kind)
{
        return line_limit_pass(&instance->log.limits[kind]);
}

/* --- health ----------------------------------------------------------------------------------- */

static void log_health(struct instance *instance)
{
        const char *name = instance->conf->name;
        const struct log_field fields[] = {
                { "BRICK", name, strlen(name) },
                { "MESSAGE_ID", LOG_ID_BRICK_HEALTH, strlen(LOG_ID_BRICK_HEALTH) },
        };
        char why[HEALTH_REASON_MAX + 1];

        if (atomic_load(&instance->health.good)) {
                log_fields(LOG_LEVEL_NOTICE, fields, ELEMENTSOF(fields),
                           "Brick '%s' is healthy again", name);
                return;
        }
        health_reason(&instance->health, why);
        log_fields(LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields), "Brick '%s' is not healthy: %s",
                   name, why);
}

void instance_log_health(struct instance *instance)
{
        if (instance_log_pass(instance, LINE_HEALTH))
                log_health(instance);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void blame_nobody(const char *what)
{
        static struct line_limit limit = LINE_LIMIT_INIT;
        const struct log_field field = { "MESSAGE_ID", LOG_ID_BRICK_MISUSE,
                                         strlen(LOG_ID_BRICK_MISUSE) };

        if (line_limit_take(&limit) >= 0)
                log_fields(LOG_LEVEL_ERROR, &field, 1, "A brick %s: a fault of its module", what);
}

void instance_blame(struct instance *instance, const char *what)
{
        const char *name = instance ? instance->conf->name : "";
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_MISUSE, strlen(LOG_ID_BRICK_MISUSE) },
                { "BRICK", name, strlen(name) },
        };

        if (!instance)
                blame_nobody(what);
        else if (instance_log_pass(instance, LINE_MISUSE))
                log_fields(LOG_LEVEL_ERROR, fields, ELEMENTSOF(fields),
                           "Brick '%s' %s: a fault of module %s", name, what,
                           instance->module->path);
}

/* --- what was left out ------------------------------------------------------------------------ */

void instance_log_maintain(struct instance *instance)
{
        static const char *const about[INSTANCE_LINES] = {
                [LINE_OWN] = "of its own",
                [LINE_HEALTH] = "about its health",
                [LINE_MISUSE] = "about faults of its module",
                [LINE_SLOW] = "about holding the polling thread",
        };
        const char *name = instance->conf->name;
        const struct log_field field = { "BRICK", name, strlen(name) };

        for (unsigned i = 0; i < INSTANCE_LINES; i++) {
                unsigned n = line_limit_left_out(&instance->log.limits[i]);

                if (n == 0)
                        continue;
                log_fields(LOG_LEVEL_WARNING, &field, 1,
                           "Brick '%s' caused too many lines: %u %s were left out", name, n,
                           about[i]);
                if (i == LINE_HEALTH)
                        log_health(instance);
        }
}

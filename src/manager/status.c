/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "conf/conf.h"
#include "config.h"
#include "manager/manager.h"
#include "manager/tally.h"
#include "util/clock.h"
#include "util/json.h"

static void put_string(FILE *f, const char *s)
{
        json_put_string(f, s, strlen(s));
}

static uint64_t seconds_since(uint64_t time)
{
        return (clock_now() - time) / NSEC_PER_SEC;
}

static void put_ports(FILE *f, const struct generation *g)
{
        (void)fputs("\"ports\":[", f);
        for (size_t i = 0; g && i < g->sockets.n_ports; i++) {
                (void)fputs(i > 0 ? ",{\"listen\":" : "{\"listen\":", f);
                put_string(f, g->sockets.ports[i]->listen);
                (void)fputs(",\"address\":", f);
                put_string(f, g->sockets.ports[i]->address);
                (void)fputc('}', f);
        }
        (void)fputc(']', f);
}

/* What the worker has said of itself. */
static void put_own_status(FILE *f, const struct process *process)
{
        if (process->answered)
                (void)fprintf(f, "{\"connections\":%u,\"in_flight\":%u}", process->connections,
                              process->in_flight);
        else
                (void)fputs("null", f);
}

static void put_worker(FILE *f, const struct slot *slot, const char **separator)
{
        const struct process *process = slot->process;

        (void)fprintf(f, "%s{\"index\":%u,\"generation\":%u,\"restarts\":%u,", *separator,
                      slot->index, slot->workers->spawn.generation, slot->restarts);
        if (process) {
                (void)fprintf(
                        f, "\"pid\":%d,\"state\":\"%s\",\"uptime_seconds\":%" PRIu64 ",\"status\":",
                        process->pid, process_state_to_string(process->state),
                        seconds_since(process->since));
                put_own_status(f, process);
                (void)fputc('}', f);
        } else {
                (void)fputs(
                        "\"pid\":null,\"state\":\"exited\",\"uptime_seconds\":0,\"status\":null}",
                        f);
        }
        *separator = ",";
}

static void put_workers(FILE *f, const struct generation *g, const char **separator)
{
        for (size_t i = 0; g && i < g->workers.n; i++)
                if (g->workers.slots[i].process || g->state == GENERATION_SERVING)
                        put_worker(f, &g->workers.slots[i], separator);
}

static void put_all_workers(FILE *f, const struct manager *m)
{
        const char *separator = "";

        (void)fputs("\"workers\":[", f);
        put_workers(f, m->current, &separator);
        put_workers(f, m->next, &separator);
        for (const struct generation *g = m->old; g; g = g->next)
                put_workers(f, g, &separator);
        (void)fputc(']', f);
}

static void put_log_level(FILE *f, const char *brick, int level, const char **separator)
{
        if (!level)
                return;
        (void)fprintf(f, "%s{\"brick\":", *separator);
        if (brick)
                put_string(f, brick);
        else
                (void)fputs("null", f);
        (void)fprintf(f, ",\"level\":\"%s\"}", log_level_to_string((enum log_level)level));
        *separator = ",";
}

/* Those that brickctl has set. */
static void put_log_levels(FILE *f, const struct generation *g)
{
        const char *separator = "";

        (void)fputs("\"log_levels\":[", f);
        if (g)
                put_log_level(f, NULL, g->workers.log_level, &separator);
        for (size_t i = 0; g && g->workers.brick_log_levels && i < g->conf->n_bricks; i++)
                put_log_level(f, g->conf->bricks[i].name, g->workers.brick_log_levels[i],
                              &separator);
        (void)fputc(']', f);
}

static void put_verdict(FILE *f, const struct verdict *verdict)
{
        (void)fputs("\"last_reload\":", f);
        if (verdict->generation == 0) {
                (void)fputs("null", f);
                return;
        }
        (void)fprintf(f, "{\"ok\":%s,\"generation\":%u,\"time\":%" PRIi64 ",\"text\":",
                      verdict->ok ? "true" : "false", verdict->generation, verdict->time);
        put_string(f, verdict->text ? verdict->text : "");
        (void)fputc('}', f);
}

const char *stage_to_string(enum stage stage)
{
        static const char *const names[] = {
                [STAGE_STARTING] = "starting",
                [STAGE_SERVING] = "serving",
                [STAGE_STOPPING] = "stopping",
        };

        return names[stage];
}

int manager_status(const struct manager *m, char **ret)
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
                      "{\"version\":\"%s\",\"pid\":%d,\"state\":\"%s\",\"config\":", BRICKD_VERSION,
                      getpid(), stage_to_string(m->stage));
        put_string(f, m->file);
        (void)fprintf(f, ",\"generation\":%u,\"uptime_seconds\":%" PRIu64 ",",
                      m->current ? m->current->number : 0, seconds_since(m->started));
        put_ports(f, m->current);
        (void)fputc(',', f);
        put_all_workers(f, m);
        (void)fputc(',', f);
        manager_put_bricks(m, tally, false, f);
        (void)fputc(',', f);
        put_log_levels(f, m->current);
        (void)fputc(',', f);
        put_verdict(f, &m->verdict);
        (void)fputc('}', f);
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "conf/conf.h"
#include "config.h"
#include "manager/bricks.h"
#include "manager/json.h"
#include "manager/manager.h"
#include "manager/program-json.h"
#include "manager/tally.h"
#include "util/clock.h"

/* What Status() and Stats() of the control bus answer. Additions are fine; what is there stays. */

static json_int_t seconds_since(uint64_t time)
{
        return (json_int_t)((clock_now() - time) / NSEC_PER_SEC);
}

/* null: the port is plain text. */
static json_t *tls_to_json(const struct conf_tls *tls)
{
        if (!tls->node)
                return json_null();
        return json_pack("{s:o, s:o, s:b}", "certificate", json_text(tls->certificate), "client_ca",
                         tls->client_ca ? json_text(tls->client_ca) : json_null(),
                         "client_optional", (int)tls->client_optional);
}

static json_t *bricks_of_port(const struct conf *conf, const struct conf_port *port)
{
        json_auto_t *array = json_array();
        int r = 0;

        for (size_t i = 0; r == 0 && i < port->n_bricks; i++)
                r = json_array_append_new(array, json_text(conf->bricks[port->bricks[i]].name));
        return r == 0 ? json_incref(array) : NULL;
}

static json_t *port_to_json(const struct socket *socket, const struct conf *conf,
                            const struct conf_port *port)
{
        return json_pack("{s:o, s:o, s:s, s:b, s:o, s:o}", "listen", json_text(socket->listen),
                         "address", json_text(socket->address), "protocol",
                         port->protocol == PROTOCOL_HTTP ? "http" : "grpc", "health",
                         (int)port->health, "tls", tls_to_json(&port->tls), "bricks",
                         bricks_of_port(conf, port));
}

static json_t *ports_to_json(const struct generation *g)
{
        json_auto_t *array = json_array();
        int r = 0;

        for (size_t i = 0; r == 0 && g && i < g->sockets.n_ports; i++)
                r = json_array_append_new(
                        array, port_to_json(g->sockets.ports[i], g->conf, &g->conf->ports[i]));
        return r == 0 ? json_incref(array) : NULL;
}

/* The worker's last answer; null: it has not given one. */
static json_t *answer_to_json(const struct process *process)
{
        if (!process->answered)
                return json_null();
        return json_pack("{s:I, s:I}", "connections", (json_int_t)process->connections, "in_flight",
                         (json_int_t)process->in_flight);
}

static json_t *worker_to_json(const struct slot *slot)
{
        const struct process *process = slot->process;
        json_auto_t *json = json_pack("{s:I, s:I, s:I}", "index", (json_int_t)slot->index,
                                      "generation", (json_int_t)slot->workers->spawn.generation,
                                      "restarts", (json_int_t)slot->restarts);
        json_auto_t *rest = NULL;

        if (process)
                rest = json_pack("{s:i, s:s, s:I, s:o}", "pid", process->pid, "state",
                                 process_state_to_string(process->state), "uptime_seconds",
                                 seconds_since(process->since), "status", answer_to_json(process));
        else
                rest = json_pack("{s:n, s:s, s:i, s:n}", "pid", "state",
                                 process_state_to_string(PROCESS_EXITED), "uptime_seconds", 0,
                                 "status");
        return json_object_update(json, rest) == 0 ? json_incref(json) : NULL;
}

/* A slot without a process is shown while its worker is to be restarted. */
static int add_workers(json_t *array, const struct generation *g)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < g->workers.n; i++)
                if (g->workers.slots[i].process || g->state == GENERATION_SERVING)
                        r = json_array_append_new(array, worker_to_json(&g->workers.slots[i]));
        return r;
}

static json_t *workers_to_json(const struct manager *m)
{
        json_auto_t *array = json_array();
        const struct generation *g = NULL;
        int r = 0;

        while (r == 0 && (g = manager_each(m, g)))
                r = add_workers(array, g);
        return r == 0 ? json_incref(array) : NULL;
}

/* brick: NULL is the log as a whole. level: 0 is as configured, which is not listed. */
static int add_log_level(json_t *array, const char *brick, int level)
{
        if (!level)
                return 0;
        return json_array_append_new(array,
                                     json_pack("{s:o, s:s}", "brick", json_text(brick), "level",
                                               log_level_to_string((enum log_level)level)));
}

/* The levels that brickctl has set. */
static json_t *log_levels_to_json(const struct generation *g)
{
        json_auto_t *array = json_array();
        int r = 0;

        if (g)
                r = add_log_level(array, NULL, g->workers.log_level);
        for (size_t i = 0; r == 0 && g && g->workers.brick_log_levels && i < g->conf->n_bricks; i++)
                r = add_log_level(array, g->conf->bricks[i].name, g->workers.brick_log_levels[i]);
        return r == 0 ? json_incref(array) : NULL;
}

static json_t *verdict_to_json(const struct verdict *verdict)
{
        if (verdict->generation == 0)
                return json_null();
        return json_pack("{s:b, s:I, s:I, s:o}", "ok", verdict->ok, "generation",
                         (json_int_t)verdict->generation, "time", (json_int_t)verdict->time, "text",
                         json_text(verdict->text ? verdict->text : ""));
}

static const char *stage_to_string(enum stage stage)
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
        int r;

        r = manager_tally(m, &tally);
        if (r < 0)
                return r;
        return json_finish(
                json_pack("{s:s, s:i, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                          BRICKD_VERSION, "pid", getpid(), "state", stage_to_string(m->stage),
                          "config", json_text(m->file), "generation",
                          (json_int_t)(m->current ? m->current->number : 0), "uptime_seconds",
                          seconds_since(m->started), "ports", ports_to_json(m->current), "workers",
                          workers_to_json(m), "processes", programs_to_json(m), "bricks",
                          bricks_to_json(m, tally, false), "log_levels",
                          log_levels_to_json(m->current), "last_reload",
                          verdict_to_json(&m->verdict)),
                ret);
}

/* The upper ends of the buckets of "duration", ns. */
static json_t *bounds_to_json(void)
{
        json_auto_t *array = json_array();
        int r = 0;

        for (size_t i = 0; r == 0 && i < STATS_BUCKETS; i++)
                r = json_array_append_new(array, json_integer((json_int_t)stats_bounds[i]));
        return r == 0 ? json_incref(array) : NULL;
}

int manager_stats(const struct manager *m, char **ret)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        const struct generation *g = m->current;
        int r;

        r = manager_tally(m, &tally);
        if (r < 0)
                return r;
        return json_finish(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "version",
                                     BRICKD_VERSION, "state", stage_to_string(m->stage),
                                     "generation", (json_int_t)(g ? g->number : 0), "workers",
                                     (json_int_t)(g ? g->workers.n : 0), "workers_ready",
                                     (json_int_t)(g ? workers_count_ready(&g->workers) : 0), "time",
                                     (json_int_t)clock_now(), "bounds", bounds_to_json(), "bricks",
                                     bricks_to_json(m, tally, true)),
                           ret);
}

/* SPDX-License-Identifier: MIT */
#include "manager/program-json.h"

#include "manager/json.h"
#include "manager/manager.h"
#include "manager/proc.h"
#include "manager/program.h"
#include "manager/supervisor.h"
#include "util/clock.h"

/* Of a process that runs. */
static json_t *life_to_json(const struct program *program)
{
        struct proc proc = {};

        (void)proc_read(&proc, program->pid);
        return json_pack("{s:i, s:I, s:I}", "pid", program->pid, "uptime_seconds",
                         (json_int_t)((clock_now() - program->since) / NSEC_PER_SEC), "resident",
                         (json_int_t)proc.resident);
}

static json_t *program_to_json(const struct pool *pool, const struct program *program)
{
        json_auto_t *json = json_pack(
                "{s:o, s:I, s:s, s:I, s:I, s:o, s:o}", "brick", json_text(pool->brick), "index",
                (json_int_t)program->settings.index, "state",
                program_state_to_string(program->state), "restarts", (json_int_t)program->restarts,
                "lines_dropped", (json_int_t)program->capture.total, "status",
                json_text(program->status[0] ? program->status : NULL), "last_end",
                json_text(program->epitaph));
        json_auto_t *life = program->pid > 0 ? life_to_json(program) : json_pack("{s:n}", "pid");

        return json_object_update(json, life) == 0 ? json_incref(json) : NULL;
}

json_t *programs_to_json(const struct manager *m)
{
        json_auto_t *array = json_array();
        const struct pool *pool = NULL;
        int r = 0;

        while (r == 0 && (pool = supervisor_each(m->supervisor, pool)))
                for (size_t i = 0; r == 0 && i < pool->spec->count; i++)
                        r = json_array_append_new(array, program_to_json(pool, pool->programs[i]));
        return r == 0 ? json_incref(array) : NULL;
}

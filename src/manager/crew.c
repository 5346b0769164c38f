/* SPDX-License-Identifier: MIT */
#include "manager/crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "manager/program.h"
#include "shared/programs.h"

/* Failures in a row after which calls do not wait for the process any more: it is started again
 * only after a second or more. */
#define FAILURES_MAX 4

struct crew {
        struct crew *next; /* in the list of the supervisor */
        struct supervisor *supervisor;
        const struct conf *conf;
        const struct crew_ops *ops;
        void *user;
        struct programs *programs;
        struct pool **pools; /* one for each brick; NULL: it is a module */
        bool serves;
        bool told; /* it does not exist for its owner before: no callbacks */
};

static enum program_health health_of(const struct program *program)
{
        switch (program->state) {
        case PROGRAM_STATE_READY:
                return PROGRAM_READY;
        case PROGRAM_STATE_LEAVING:
        case PROGRAM_STATE_REPLACING:
        case PROGRAM_STATE_STOPPING:
                return PROGRAM_LEAVING;
        default:
                return program->failures < FAILURES_MAX ? PROGRAM_AWAY : PROGRAM_FAILING;
        }
}

static bool uses(const struct crew *crew, const struct pool *pool)
{
        for (size_t i = 0; i < crew->conf->n_bricks; i++)
                if (crew->pools[i] == pool)
                        return true;
        return false;
}

static void report_failure(struct crew *crew, const struct pool *pool,
                           const struct program *program)
{
        _cleanup_free_ char *why = NULL;

        if (asprintf(&why, "process %u of brick '%s' %s", program->settings.index, pool->brick,
                     program->epitaph ? program->epitaph : "has ended") < 0)
                why = NULL;
        crew->ops->failed(crew, why ? why : "out of memory", crew->user);
}

void crew_changed(struct crew *crew, const struct pool *pool, const struct program *program)
{
        if (!uses(crew, pool))
                return;
        programs_set(crew->programs, program->socket, health_of(program));
        if (!crew->told)
                return;
        if (program->state == PROGRAM_STATE_BACKOFF && !crew->serves &&
            !programs_has_started(crew->programs, program->socket))
                report_failure(crew, pool, program);
        else
                crew->ops->changed(crew, crew->user);
}

struct crew **crew_link(struct crew *crew)
{
        return &crew->next;
}

struct crew *crew_next(const struct crew *crew)
{
        return crew->next;
}

/* --- creation and destruction ----------------------------------------------------------------- */

static void describe_pool(struct crew *crew, size_t brick)
{
        const struct pool *pool = crew->pools[brick];

        for (size_t i = 0; i < pool->spec->count; i++) {
                programs_add(crew->programs, brick, pool->programs[i]->socket);
                programs_set(crew->programs, pool->programs[i]->socket,
                             health_of(pool->programs[i]));
        }
}

static int get_pools(struct crew *crew, struct process_spec **specs)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < crew->conf->n_bricks; i++) {
                const struct conf_brick *brick = &crew->conf->bricks[i];

                if (!specs[i])
                        continue;
                r = pool_get(&crew->pools[i], crew->supervisor, brick->name, brick->log_level,
                             &specs[i]);
                if (r == 0)
                        describe_pool(crew, i);
        }
        return r;
}

int crew_new(struct crew **ret, struct supervisor *supervisor, const struct conf *conf,
             struct process_spec **specs, struct programs *programs, const struct crew_ops *ops,
             void *user)
{
        _cleanup_(crew_freep) struct crew *crew = calloc(1, sizeof *crew);
        int r;

        if (!crew)
                return -ENOMEM;
        *crew = (struct crew){
                .supervisor = supervisor,
                .conf = conf,
                .programs = programs,
                .ops = ops,
                .user = user,
                .pools = calloc(conf->n_bricks + 1, sizeof *crew->pools),
        };
        if (!crew->pools)
                return -ENOMEM;
        supervisor_add_crew(supervisor, crew);
        r = get_pools(crew, specs);
        if (r < 0)
                return r;
        crew->told = true;
        *ret = TAKE_PTR(crew);
        return 0;
}

struct crew *crew_free(struct crew *crew)
{
        if (!crew)
                return NULL;
        supervisor_remove_crew(crew->supervisor, crew);
        for (size_t i = 0; crew->pools && i < crew->conf->n_bricks; i++)
                if (crew->pools[i])
                        pool_release(crew->pools[i]);
        free(crew->pools);
        free(crew);
        return NULL;
}

/* --- what the generation asks for --------------------------------------------------------------
 */

static bool is_ready(const struct pool *pool)
{
        for (size_t i = 0; i < pool->spec->count; i++)
                if (pool->programs[i]->state != PROGRAM_STATE_READY)
                        return false;
        return true;
}

uint64_t crew_start_timeout(const struct crew *crew)
{
        uint64_t longest = 0;

        for (size_t i = 0; i < crew->conf->n_bricks; i++) {
                const struct pool *pool = crew->pools[i];

                if (pool && !is_ready(pool) && (uint64_t)pool->spec->start_timeout > longest)
                        longest = (uint64_t)pool->spec->start_timeout;
        }
        return longest;
}

void crew_serve(struct crew *crew)
{
        crew->serves = true;
        for (size_t i = 0; i < crew->conf->n_bricks; i++)
                if (crew->pools[i])
                        crew->pools[i]->trial = false;
}

int crew_restart(struct crew *crew, const char *brick, size_t *ret_n)
{
        ssize_t index = conf_find_brick(crew->conf, brick);
        struct pool *pool = index < 0 ? NULL : crew->pools[index];

        if (!pool)
                return -ENOENT;
        *ret_n = pool->spec->count;
        return pool_restart(pool);
}

/* SPDX-License-Identifier: MIT */
#include "manager/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/crew.h"
#include "manager/process.h"
#include "manager/program.h"

struct supervisor {
        struct processes *processes;
        const struct supervisor_ops *ops;
        void *user;
        char *folder; /* of the pools' folders; NULL: there has been no pool yet */
        unsigned last_number;
        struct pool *pools;
        struct crew *crews;
        sd_event_source *sweep; /* enabled once: frees the pools that have ended */
        bool hurry;
};

/* --- folders ---------------------------------------------------------------------------------- */

/* In the unit's runtime directory, which ends with the unit. Others may pass through it to a folder
 * that is theirs. */
static int make_folder(struct supervisor *s)
{
        const char *runtime = getenv("RUNTIME_DIRECTORY"), *temporary = getenv("TMPDIR");
        _cleanup_free_ char *path = NULL;
        int n;

        if (s->folder)
                return 0;
        if (runtime && runtime[0] == '/')
                n = asprintf(&path, "%.*s/processes-XXXXXX", (int)strcspn(runtime, ":"), runtime);
        else
                n = asprintf(&path, "%s/brickd-XXXXXX",
                             temporary && temporary[0] == '/' ? temporary : "/tmp");
        if (n < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (!mkdtemp(path) || chmod(path, 0711) < 0)
                return -errno;
        s->folder = TAKE_PTR(path);
        return 0;
}

static int make_pool_folder(struct supervisor *s, struct pool *pool)
{
        int r = make_folder(s);

        if (r < 0)
                return r;
        if (asprintf(&pool->folder, "%s/%u", s->folder, ++s->last_number) < 0) {
                pool->folder = NULL;
                return -ENOMEM;
        }
        if (mkdir(pool->folder, 0700) < 0)
                return -errno;
        if (pool->spec->user && chown(pool->folder, pool->spec->uid, pool->spec->gid) < 0)
                return -errno;
        return 0;
}

/* --- pools ------------------------------------------------------------------------------------ */

static struct pool *pool_free(struct pool *pool)
{
        if (!pool)
                return NULL;
        for (size_t i = 0; pool->programs && i < pool->spec->count; i++)
                (void)program_free(pool->programs[i]);
        free(pool->programs);
        if (pool->folder)
                (void)rmdir(pool->folder);
        free(pool->folder);
        (void)process_spec_free(pool->spec);
        free(pool->brick);
        free(pool);
        return NULL;
}
DEFINE_CLEANUP(struct pool *, pool_free);

static void pool_handle(struct pool *pool, enum program_event event)
{
        for (size_t i = 0; i < pool->spec->count; i++)
                program_handle(pool->programs[i], event);
}

static bool pool_has_ended(const struct pool *pool)
{
        for (size_t i = 0; i < pool->spec->count; i++)
                if (pool->programs[i]->state != PROGRAM_STATE_DOWN)
                        return false;
        return pool->n_ref == 0;
}

static int on_sweep(sd_event_source *source, void *user)
{
        struct supervisor *s = user;
        struct pool **link = &s->pools;

        while (*link) {
                struct pool *pool = *link;

                if (pool_has_ended(pool)) {
                        *link = pool->next;
                        (void)pool_free(pool);
                } else {
                        link = &pool->next;
                }
        }
        if (!s->pools)
                s->ops->ended(s->user);
        return 0;
}

static void sweep(struct supervisor *s)
{
        (void)sd_event_source_set_enabled(s->sweep, SD_EVENT_ONESHOT);
}

/* --- restarts --------------------------------------------------------------------------------- */

static void end_restart(struct pool *pool, const char *why)
{
        pool->restarting = false;
        pool->supervisor->ops->restarted(pool->brick, why, pool->supervisor->user);
}

static void restart_next(struct pool *pool)
{
        program_handle(pool->programs[pool->restarted], PROGRAM_RESTART);
}

/* The others are restarted once the one before serves. If it fails, they go on as they are. */
static void continue_restart(struct pool *pool, const struct program *program)
{
        if (!pool->restarting || pool->programs[pool->restarted] != program)
                return;
        if (program->state == PROGRAM_STATE_BACKOFF || program->state == PROGRAM_STATE_STOPPING) {
                end_restart(pool, program->epitaph ? program->epitaph : "has ended");
                return;
        }
        if (program->state != PROGRAM_STATE_READY)
                return;
        if (++pool->restarted == pool->spec->count)
                end_restart(pool, NULL);
        else
                restart_next(pool);
}

int pool_restart(struct pool *pool)
{
        if (pool->restarting)
                return -EBUSY;
        pool->restarting = true;
        pool->restarted = 0;
        restart_next(pool);
        return 0;
}

/* --- finding and making pools ----------------------------------------------------------------- */

static void on_changed(struct program *program, void *user)
{
        struct pool *pool = user;
        struct supervisor *s = pool->supervisor;

        for (struct crew *crew = s->crews; crew; crew = crew_next(crew))
                crew_changed(crew, pool, program);
        continue_restart(pool, program);
        if (program->state == PROGRAM_STATE_DOWN)
                sweep(s);
}

static int add_programs(struct pool *pool)
{
        static const struct program_ops ops = { .changed = on_changed };
        struct program_settings settings = {
                .event = processes_event(pool->supervisor->processes),
                .spec = pool->spec,
                .brick = pool->brick,
                .log_level = &pool->log_level,
                .trial = &pool->trial,
                .folder = pool->folder,
                .ops = &ops,
                .user = pool,
        };
        int r = 0;

        pool->programs = calloc(pool->spec->count, sizeof *pool->programs);
        if (!pool->programs)
                return -ENOMEM;
        for (; r == 0 && settings.index < pool->spec->count; settings.index++)
                r = program_new(&pool->programs[settings.index], &settings);
        return r;
}

static int pool_new(struct pool **ret, struct supervisor *s, const char *brick,
                    struct process_spec **spec)
{
        _cleanup_(pool_freep) struct pool *pool = calloc(1, sizeof *pool);
        int r;

        if (!pool)
                return -ENOMEM;
        pool->supervisor = s;
        pool->spec = TAKE_PTR(*spec);
        pool->trial = true;
        pool->brick = strdup(brick);
        if (!pool->brick)
                return -ENOMEM;
        r = make_pool_folder(s, pool);
        if (r == 0)
                r = add_programs(pool);
        if (r < 0)
                return r;
        pool->next = s->pools;
        s->pools = pool;
        *ret = TAKE_PTR(pool);
        return 0;
}

static struct pool *find_pool(const struct supervisor *s, const char *brick,
                              const struct process_spec *spec)
{
        struct pool *pool = s->pools;

        while (pool && (strcmp(pool->brick, brick) != 0 || !process_spec_equal(pool->spec, spec)))
                pool = pool->next;
        return pool;
}

/* A process that waits to be started again is started now: whatever kept it from starting may have
 * been mended. */
static void start_pool(struct pool *pool)
{
        for (size_t i = 0; i < pool->spec->count; i++) {
                struct program *program = pool->programs[i];

                program_handle(program, program->state == PROGRAM_STATE_BACKOFF ? PROGRAM_RESTART
                                                                                : PROGRAM_START);
        }
}

int pool_get(struct pool **ret, struct supervisor *s, const char *brick, int log_level,
             struct process_spec **spec)
{
        struct pool *pool = find_pool(s, brick, *spec);
        int r;

        if (pool) {
                *spec = process_spec_free(*spec);
        } else {
                r = pool_new(&pool, s, brick, spec);
                if (r < 0)
                        return r;
        }
        pool->log_level = log_level;
        pool->n_ref++;
        start_pool(pool);
        *ret = pool;
        return 0;
}

void pool_release(struct pool *pool)
{
        if (--pool->n_ref > 0)
                return;
        pool_handle(pool, pool->supervisor->hurry ? PROGRAM_CUT : PROGRAM_STOP);
        sweep(pool->supervisor);
}

const struct pool *supervisor_each(const struct supervisor *supervisor, const struct pool *pool)
{
        return pool ? pool->next : supervisor->pools;
}

void supervisor_add_crew(struct supervisor *s, struct crew *crew)
{
        *crew_link(crew) = s->crews;
        s->crews = crew;
}

void supervisor_remove_crew(struct supervisor *s, struct crew *crew)
{
        struct crew **link = &s->crews;

        while (*link && *link != crew)
                link = crew_link(*link);
        if (*link)
                *link = crew_next(crew);
}

/* --- all of them ------------------------------------------------------------------------------ */

static struct program *find_program(const struct supervisor *s, pid_t pid)
{
        for (const struct pool *pool = s->pools; pool; pool = pool->next)
                for (size_t i = 0; i < pool->spec->count; i++)
                        if (pool->programs[i]->pid == pid)
                                return pool->programs[i];
        return NULL;
}

static void on_exit_of(const siginfo_t *info, void *user)
{
        struct program *program = find_program(user, info->si_pid);

        if (program)
                program_exited(program, info->si_code, info->si_status);
}

int supervisor_new(struct supervisor **ret, struct processes *processes,
                   const struct supervisor_ops *ops, void *user)
{
        _cleanup_(supervisor_freep) struct supervisor *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return -ENOMEM;
        s->processes = processes;
        s->ops = ops;
        s->user = user;
        r = sd_event_add_defer(processes_event(processes), &s->sweep, on_sweep, s);
        if (r == 0)
                r = sd_event_source_set_enabled(s->sweep, SD_EVENT_OFF);
        if (r < 0)
                return r;
        processes_watch_others(processes, on_exit_of, s);
        *ret = TAKE_PTR(s);
        return 0;
}

struct supervisor *supervisor_free(struct supervisor *s)
{
        if (!s)
                return NULL;
        processes_watch_others(s->processes, NULL, NULL);
        while (s->pools) {
                struct pool *pool = s->pools;

                s->pools = pool->next;
                (void)pool_free(pool);
        }
        sd_event_source_disable_unref(s->sweep);
        if (s->folder)
                (void)rmdir(s->folder);
        free(s->folder);
        free(s);
        return NULL;
}

bool supervisor_is_idle(const struct supervisor *s)
{
        return !s->pools;
}

void supervisor_cut(struct supervisor *s)
{
        s->hurry = true;
        for (struct pool *pool = s->pools; pool; pool = pool->next)
                if (pool->n_ref == 0)
                        pool_handle(pool, PROGRAM_CUT);
}

uint64_t supervisor_grace(const struct supervisor *s)
{
        uint64_t grace = 0;

        for (const struct pool *pool = s->pools; pool; pool = pool->next)
                if ((uint64_t)pool->spec->grace > grace)
                        grace = (uint64_t)pool->spec->grace;
        return grace;
}

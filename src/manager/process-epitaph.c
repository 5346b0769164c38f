/* SPDX-License-Identifier: MIT */

/* Describes how a worker process ended, and which brick is to blame. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "conf/conf.h"
#include "manager/process.h"
#include "shared/state.h"
#include "util/clock.h"
#include "util/plural.h"

static const char *name_of(const struct process *p, ssize_t brick)
{
        if (brick < 0 || !p->conf || (size_t)brick >= p->conf->n_bricks)
                return NULL;
        return p->conf->bricks[brick].name;
}

static const char *brick_of(const struct process *p, enum state_brick what)
{
        return name_of(p, state_get_brick(p->shared, what));
}

/* The brick in create(). A worker that was ready before does not run any create(). */
static const char *creating(const struct process *p)
{
        return p->ready == 0 ? brick_of(p, STATE_CREATING) : NULL;
}

bool process_was_silent(const struct process *p)
{
        return p->aborted && p->exit_code != CLD_EXITED &&
               (p->exit_status == SIGABRT || p->exit_status == SIGKILL);
}

const char *process_stuck(const struct process *p)
{
        return brick_of(p, STATE_STUCK);
}

const char *process_blames(const struct process *p)
{
        const char *brick = brick_of(p, STATE_CRASHED);

        if (!brick)
                brick = creating(p);
        if (!brick && process_was_silent(p))
                brick = process_stuck(p);
        return brick;
}

static int describe_held(const struct process *p, char **ret)
{
        unsigned calls;
        const char *holds = name_of(p, state_get_held(p->shared, &calls));
        const char *destroyed = brick_of(p, STATE_DESTROYING);

        if (destroyed)
                return asprintf(ret, "had to be killed: brick '%s' is in destroy()", destroyed);
        if (holds)
                return asprintf(ret, "had to be killed: brick '%s' still holds %u call%s", holds,
                                calls, plural(calls));
        return asprintf(ret, "had to be killed: it did not exit in time");
}

static int describe_overdue(const struct process *p, char **ret)
{
        const char *brick = creating(p);
        double limit = (double)p->start_timeout / (double)NSEC_PER_SEC;

        if (p->overdue_in != PROCESS_STARTING)
                return describe_held(p, ret);
        if (brick)
                return asprintf(ret,
                                "had to be killed: brick '%s' did not finish create() within %gs",
                                brick, limit);
        return asprintf(ret, "had to be killed: it was not ready within %gs", limit);
}

static int describe_signal(const struct process *p, char **ret)
{
        const char *abbreviation = sigabbrev_np(p->exit_status), *brick = process_blames(p);
        const char *where = creating(p) ? "create() of " : "";
        char name[32];

        if (abbreviation)
                (void)snprintf(name, sizeof name, "SIG%s", abbreviation);
        else
                (void)snprintf(name, sizeof name, "signal %d", p->exit_status);
        if (!brick)
                return asprintf(ret, "died of %s", name);
        return asprintf(ret, "died of %s in %sbrick '%s'", name, where, brick);
}

int process_epitaph(const struct process *p, char **ret)
{
        int n;

        if (process_was_silent(p))
                n = asprintf(ret, "was killed: it did not answer");
        else if (p->overdue)
                n = describe_overdue(p, ret);
        else if (p->exit_code != CLD_EXITED)
                n = describe_signal(p, ret);
        else if (p->failed)
                n = asprintf(ret, "failed: %s", p->failed);
        else
                n = asprintf(ret, "exited with status %d", p->exit_status);
        return n < 0 ? -ENOMEM : 0;
}

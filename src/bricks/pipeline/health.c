/* SPDX-License-Identifier: MIT */
#include "health.h"

#include <stdio.h>

/* Whether the step runs in every call that gets there. */
static bool is_certain(const struct step *step)
{
        for (; step; step = step->parent)
                if (step->when || (step->parent && step->parent->otherwise == step))
                        return false;
        return true;
}

static bool is_needed(const struct step *step)
{
        return step->kind == STEP_CALL && step->on_error == ERROR_FAIL && is_certain(step);
}

/* The first of the step's bricks if none of them serves; NULL: the step can do its work. */
static struct brick_target *missing_of(const struct step *step)
{
        bool any = false;

        for (size_t i = 0; i < step->n_targets; i++)
                any |= brick_host->target_serving(step->targets[i]);
        if (!any)
                return step->targets[0];
        if (step->watch.target && !step->watch.observe &&
            !brick_host->target_serving(step->watch.target))
                return step->watch.target;
        return NULL;
}

static void on_change(void *user, int serving)
{
        struct health *health = user;
        const struct plan *plan = health->plan;
        struct brick_target *missing = NULL;
        char reason[160] = "";

        (void)pthread_mutex_lock(&health->lock);
        for (unsigned i = 0; i < plan->n_steps && !missing; i++)
                if (is_needed(plan->steps[i]))
                        missing = missing_of(plan->steps[i]);
        if (missing) {
                struct brick_str name = brick_host->target_name(missing);

                (void)snprintf(reason, sizeof reason, "its brick '%.*s' is not healthy",
                               name.len < 100 ? (int)name.len : 100, name.ptr);
        }
        brick_host->set_health(plan->ctx, !missing, brick_str(reason));
        (void)pthread_mutex_unlock(&health->lock);
}

int health_begin(struct health *health, const struct plan *plan)
{
        int r = 0;

        (void)pthread_mutex_init(&health->lock, NULL);
        health->plan = plan;
        for (unsigned i = 0; r == 0 && i < plan->n_steps; i++) {
                const struct step *step = plan->steps[i];

                if (!is_needed(step))
                        continue;
                for (size_t j = 0; r == 0 && j < step->n_targets; j++)
                        r = brick_host->target_watch(step->targets[j], on_change, health);
                if (r == 0 && step->watch.target)
                        r = brick_host->target_watch(step->watch.target, on_change, health);
        }
        return r;
}

void health_done(struct health *health)
{
        (void)pthread_mutex_destroy(&health->lock);
}

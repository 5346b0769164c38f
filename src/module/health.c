/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "module/health.h"
#include "util/utf8.h"

void health_init(struct health *health)
{
        atomic_init(&health->good, true);
        (void)pthread_mutex_init(&health->lock, NULL);
}

void health_done(struct health *health)
{
        (void)pthread_mutex_destroy(&health->lock);
}

/* Lock held. */
static void tell_all(struct health *health)
{
        if (health->changed)
                health->changed(health->user);
        for (struct health_watch *watch = health->watches; watch; watch = watch->next)
                watch->changed(watch);
}

bool health_set(struct health *health, bool good, struct brick_str reason)
{
        size_t n = good || !reason.ptr ? 0 : reason.len;
        bool changed;

        (void)pthread_mutex_lock(&health->lock);
        n = utf8_repair(health->reason, HEALTH_REASON_MAX, reason.ptr, n);
        health->reason[n] = '\0';
        if (health->shown)
                stats_set_health(health->shown, good, health->reason);
        changed = atomic_exchange(&health->good, good) != good;
        if (changed)
                tell_all(health);
        (void)pthread_mutex_unlock(&health->lock);
        return changed;
}

void health_reason(struct health *health, char ret[static HEALTH_REASON_MAX + 1])
{
        (void)pthread_mutex_lock(&health->lock);
        memcpy(ret, health->reason, sizeof health->reason);
        (void)pthread_mutex_unlock(&health->lock);
}

void health_listen(struct health *health, void (*changed)(void *user), void *user)
{
        (void)pthread_mutex_lock(&health->lock);
        health->changed = changed;
        health->user = user;
        (void)pthread_mutex_unlock(&health->lock);
}

void health_add_watch(struct health *health, struct health_watch *watch)
{
        (void)pthread_mutex_lock(&health->lock);
        watch->next = health->watches;
        health->watches = watch;
        (void)pthread_mutex_unlock(&health->lock);
}

void health_remove_watch(struct health *health, struct health_watch *watch)
{
        struct health_watch **link = &health->watches;

        (void)pthread_mutex_lock(&health->lock);
        while (*link != watch)
                link = &(*link)->next;
        *link = watch->next;
        (void)pthread_mutex_unlock(&health->lock);
}

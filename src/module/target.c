/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "module/entry.h"
#include "module/instance.h"
#include "module/target.h"

uint32_t target_abi_type(const struct brick_target *target)
{
        return target->instance->type;
}

struct brick_str target_abi_name(const struct brick_target *target)
{
        return brick_str(target->instance->conf->name);
}

uint32_t target_abi_methods(const struct brick_target *target)
{
        return target->instance->methods;
}

int target_abi_serving(const struct brick_target *target)
{
        return atomic_load(&target->instance->health.good);
}

/* --- watches ---------------------------------------------------------------------------------- */

/*
 * set_health() of the target must not enter the watcher: it queues an item for the polling thread,
 * which tells the watcher what the health is then. Changes that come before that are merged.
 *
 * One owner is the watcher, until it is destroyed; the other is the queue while `posted`. The item
 * may be left in the queue of a polling thread that has ended.
 */
struct target_watch {
        struct health_watch base;
        struct run_item item;
        struct target_watch *older; /* of the same watcher */
        struct instance *watcher;
        struct instance *target;
        void (*changed)(void *user, int serving);
        void *user;
        atomic_uint owners;
        atomic_bool posted;
        int told; /* [polling thread] the last that changed() was told; -1: nothing yet */

        pthread_mutex_t lock; /* held while changed() runs */
        bool closed;          /* the watcher is being destroyed, and perhaps the target is, too */
};

static void disown(struct target_watch *watch)
{
        if (atomic_fetch_sub(&watch->owners, 1) != 1)
                return;
        (void)pthread_mutex_destroy(&watch->lock);
        free(watch);
}

static void post(struct health_watch *base)
{
        struct target_watch *watch = CONTAINER_OF(base, struct target_watch, base);

        if (atomic_exchange(&watch->posted, true))
                return;
        (void)atomic_fetch_add(&watch->owners, 1);
        runner_post(&runner_polling, &watch->item);
}

/* Lock held. */
static void tell(struct target_watch *watch)
{
        int serving = atomic_load(&watch->target->health.good);
        struct entry entry;

        if (serving == watch->told)
                return;
        watch->told = serving;
        entry_begin(&entry, watch->watcher);
        watch->changed(watch->user, serving);
        (void)entry_end(&entry, watch->watcher);
}

static void run(struct run_item *item)
{
        struct target_watch *watch = CONTAINER_OF(item, struct target_watch, item);

        atomic_store(&watch->posted, false); /* a change from here on is another item */
        (void)pthread_mutex_lock(&watch->lock);
        if (!watch->closed)
                tell(watch);
        (void)pthread_mutex_unlock(&watch->lock);
        disown(watch);
}

int target_watch(struct instance *watcher, struct brick_target *target,
                 void (*changed)(void *user, int serving), void *user)
{
        struct target_watch *watch = calloc(1, sizeof *watch);

        if (!watch)
                return -ENOMEM;
        watch->base.changed = post;
        watch->item.run = run;
        watch->older = watcher->watches;
        watch->watcher = watcher;
        watch->target = target->instance;
        watch->changed = changed;
        watch->user = user;
        watch->told = -1;
        atomic_init(&watch->owners, 1);
        (void)pthread_mutex_init(&watch->lock, NULL);
        watcher->watches = watch;
        health_add_watch(&target->instance->health, &watch->base);
        post(&watch->base);
        return 0;
}

void target_unwatch_all(struct instance *watcher)
{
        struct target_watch *watch;

        while ((watch = watcher->watches)) {
                watcher->watches = watch->older;
                health_remove_watch(&watch->target->health, &watch->base);
                (void)pthread_mutex_lock(&watch->lock);
                watch->closed = true;
                (void)pthread_mutex_unlock(&watch->lock);
                disown(watch);
        }
}

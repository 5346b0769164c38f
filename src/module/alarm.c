/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "module/alarm.h"
#include "module/call.h"
#include "module/entry.h"
#include "util/clock.h"

/* --- a pairing heap: the root is the earliest, and each alarm is no later than those under it ---
 */

/* Puts the later of two roots under the other. */
static struct alarm *meld(struct alarm *a, struct alarm *b)
{
        struct alarm *early = b->at < a->at ? b : a, *late = early == a ? b : a;

        late->next = early->first;
        if (late->next)
                late->next->link = &late->next;
        late->link = &early->first;
        early->first = late;
        early->next = NULL;
        return early;
}

/* Melds the alarms of a list two by two, and the results from the last to the first. */
static struct alarm *meld_all(struct alarm *list)
{
        struct alarm *pairs = NULL, *root = NULL, *next;

        for (; list; list = next) {
                struct alarm *other = list->next;

                next = other ? other->next : NULL;
                if (other)
                        list = meld(list, other);
                list->next = pairs;
                pairs = list;
        }
        for (; pairs; pairs = next) {
                next = pairs->next;
                pairs->next = NULL;
                root = root ? meld(root, pairs) : pairs;
        }
        return root;
}

static void set_root(struct alarms *alarms, struct alarm *root)
{
        alarms->first = root;
        if (root)
                root->link = &alarms->first;
}

static void heap_add(struct alarms *alarms, struct alarm *alarm)
{
        alarm->first = NULL;
        alarm->next = NULL;
        set_root(alarms, alarms->first ? meld(alarms->first, alarm) : alarm);
}

static void heap_remove(struct alarms *alarms, struct alarm *alarm)
{
        struct alarm *under = meld_all(alarm->first);

        if (alarm == alarms->first) {
                set_root(alarms, under);
        } else {
                *alarm->link = alarm->next;
                if (alarm->next)
                        alarm->next->link = alarm->link;
                if (under)
                        set_root(alarms, meld(alarms->first, under));
        }
        alarm->link = NULL;
}

/* --- the thread ------------------------------------------------------------------------------- */

/* Lock held, and released meanwhile. */
static void ring_first(struct alarms *alarms)
{
        struct alarm *alarm = alarms->first;
        struct call *call = alarm->call;

        heap_remove(alarms, alarm);
        call_ref(call);
        (void)pthread_mutex_unlock(&alarms->lock);
        alarm->ring(alarm);
        call_drop(call);
        (void)pthread_mutex_lock(&alarms->lock);
}

/* Lock held, and released meanwhile. */
static void wait_for_first(struct alarms *alarms)
{
        uint64_t at = alarms->first ? alarms->first->at : UINT64_MAX;
        const struct timespec until = {
                .tv_sec = (time_t)(at / NSEC_PER_SEC),
                .tv_nsec = (long)(at % NSEC_PER_SEC),
        };

        alarms->wakes = at;
        if (alarms->first)
                (void)pthread_cond_timedwait(&alarms->changed, &alarms->lock, &until);
        else
                (void)pthread_cond_wait(&alarms->changed, &alarms->lock);
        alarms->wakes = 0;
}

static void *run(void *arg)
{
        struct alarms *alarms = arg;

        entry_guard_thread();
        (void)pthread_mutex_lock(&alarms->lock);
        while (!alarms->stopping) {
                if (!alarms->first || clock_now() < alarms->first->at)
                        wait_for_first(alarms);
                else
                        ring_first(alarms);
        }
        (void)pthread_mutex_unlock(&alarms->lock);
        return NULL;
}

void alarms_init(struct alarms *alarms)
{
        *alarms = (struct alarms){};
        (void)pthread_mutex_init(&alarms->lock, NULL);
        clock_cond_init(&alarms->changed);
}

void alarms_done(struct alarms *alarms)
{
        (void)pthread_mutex_lock(&alarms->lock);
        alarms->stopping = true;
        (void)pthread_cond_signal(&alarms->changed);
        (void)pthread_mutex_unlock(&alarms->lock);
        if (alarms->running)
                (void)pthread_join(alarms->thread, NULL);
        (void)pthread_cond_destroy(&alarms->changed);
        (void)pthread_mutex_destroy(&alarms->lock);
}

int alarms_start(struct alarms *alarms)
{
        int r = 0;

        if (atomic_load_explicit(&alarms->running, memory_order_acquire))
                return 0;
        (void)pthread_mutex_lock(&alarms->lock);
        if (!alarms->running)
                r = entry_start_thread(&alarms->thread, run, alarms);
        alarms->running = r == 0;
        (void)pthread_mutex_unlock(&alarms->lock);
        return r;
}

void alarm_set(struct alarms *alarms, struct alarm *alarm, uint64_t at)
{
        (void)pthread_mutex_lock(&alarms->lock);
        if (alarm->link)
                heap_remove(alarms, alarm);
        alarm->at = at;
        heap_add(alarms, alarm);
        /* It is not woken for a later time than it wakes at anyhow, nor for one already cleared. */
        if (at < alarms->wakes) {
                alarms->wakes = at;
                (void)pthread_cond_signal(&alarms->changed);
        }
        (void)pthread_mutex_unlock(&alarms->lock);
}

void alarm_clear(struct alarms *alarms, struct alarm *alarm)
{
        (void)pthread_mutex_lock(&alarms->lock);
        if (alarm->link)
                heap_remove(alarms, alarm);
        (void)pthread_mutex_unlock(&alarms->lock);
}

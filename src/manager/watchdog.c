/* SPDX-License-Identifier: MIT */
#include "manager/watchdog.h"

#include <systemd/sd-daemon.h>

#include "manager/manager.h"
#include "manager/notify.h"
#include "util/clock.h"

/* How long a worker may be silent, unless systemd's watchdog wants it shorter. */
#define ANSWER_INTERVAL (10 * NSEC_PER_SEC)
#define TIMER_ACCURACY 1000 /* us; 0 would mean sd-event's default of 250 ms */

struct watchdog {
        struct manager *manager;
        sd_event_source *timer;
        uint64_t interval; /* ns within which a worker must answer */
        bool systemd;      /* systemd wants WATCHDOG=1 */
};

/* How long the timer is overdue (ns): the machine or this process stood still, and a worker is not
 * blamed for that time. */
static uint64_t lateness(uint64_t due_usec)
{
        uint64_t now = clock_now(), due = due_usec * NSEC_PER_USEC;

        return now > due ? now - due : 0;
}

/* Repeats to systemd what it did not receive because its socket was full. */
static void notify_again(struct manager *m)
{
        if (m->next || !notify_has_lost())
                return;
        if (m->stage == STAGE_SERVING)
                notify_status(m, "READY=1\n");
        else if (m->stage == STAGE_STOPPING)
                notify("STOPPING=1\nSTATUS=stopping");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct watchdog *watchdog = user;
        struct manager *m = watchdog->manager;
        bool alive = true;

        if (m->current && m->stage == STAGE_SERVING) {
                alive = workers_reap_silent(&m->current->workers, watchdog->interval,
                                            lateness(usec));
                workers_query(&m->current->workers);
        }
        notify_again(m);
        if (watchdog->systemd && alive)
                notify("WATCHDOG=1");
        (void)sd_event_source_set_time_relative(source, watchdog->interval / 2 / NSEC_PER_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int watchdog_new(struct watchdog **ret, struct manager *m)
{
        _cleanup_(watchdog_freep) struct watchdog *watchdog = calloc(1, sizeof *watchdog);
        uint64_t usec = 0;
        int r;

        if (!watchdog)
                return -ENOMEM;
        watchdog->manager = m;
        watchdog->systemd = sd_watchdog_enabled(true, &usec) > 0;
        watchdog->interval = ANSWER_INTERVAL;
        /* A silent worker must be replaced before systemd's own time is over. */
        if (watchdog->systemd && usec * NSEC_PER_USEC / 3 < watchdog->interval)
                watchdog->interval = usec * NSEC_PER_USEC / 3;
        r = sd_event_add_time_relative(m->event, &watchdog->timer, CLOCK_MONOTONIC,
                                       watchdog->interval / 2 / NSEC_PER_USEC, TIMER_ACCURACY,
                                       on_timer, watchdog);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watchdog);
        return 0;
}

struct watchdog *watchdog_free(struct watchdog *watchdog)
{
        if (!watchdog)
                return NULL;
        sd_event_source_disable_unref(watchdog->timer);
        free(watchdog);
        return NULL;
}

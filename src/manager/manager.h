/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The main process. It holds the listening sockets, starts and watches the workers, and answers the
 * control bus and HTTP. It owns the generations of the configuration: the current one, which
 * serves; the next one, which starts; and the old ones, which have been replaced and are ending.
 *
 *   stage     SIGHUP, Reload()            SIGTERM, SIGINT, Stop()
 *   --------  --------------------------  -----------------------------------
 *   STARTING  noted: reload once it       kill what has started
 *             serves
 *   SERVING   start the next generation   stop: drain.lame_duck, drain.grace
 *   STOPPING  refused                     cancel the calls that still run
 *
 * While a generation starts, requests to reload are noted, and one reload follows for all of them.
 * All of it runs on the main thread.
 *
 * manager.c implements the life of the main process. The functions that only read or ask are in
 * manager-control.c, manager-identities.c, manager-tally.c, status.c and metrics.c. The circle of
 * manager.c with budgets.c, bus.c, http.c, notify.c and watchdog.c is intended: these are parts of
 * the main process, which manager.c creates and calls, and they read its state and give it orders
 * through this header.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "manager/generation.h"
#include "manager/socket.h"
#include "util/cleanup.h"
#include "util/log.h"

struct budgets;
struct bus;
struct http;
struct supervisor;
struct tally;
struct watchdog;

/* Rate limit for accept(): with no free descriptor the socket stays readable, and the event loop
 * would spin. RATE_BURST wake-ups in RATE_USEC. */
#define RATE_USEC (UINT64_C(100) * 1000)
#define RATE_BURST 50

enum stage {
        STAGE_STARTING,
        STAGE_SERVING,
        STAGE_STOPPING,
};

struct verdict {             /* the result of a reload */
        unsigned generation; /* its number; 0: there was no reload yet */
        bool ok;
        bool config; /* it failed because of a mistake in the configuration */
        char *text;
        int64_t time; /* seconds since 1970 */
};

struct manager {
        const char *file;
        enum stage stage;
        sd_event *event;
        sd_event_source *reload; /* enabled once: a reload starts in the next iteration */
        bool reload_wanted;
        struct processes *processes;
        struct supervisor *supervisor; /* of the processes of bricks */
        struct inherited inherited;
        struct bus *bus;
        struct http *http;
        struct watchdog *watchdog;
        struct budgets *budgets;
        struct tally *tally; /* what workers that have exited had counted */

        struct generation *current; /* serves; NULL: none does yet, or it has ended */
        struct generation *next;    /* starts; NULL: none does */
        struct generation *old;     /* replaced, from the newest on */
        unsigned last_number;       /* of a generation */
        struct verdict verdict;     /* on the last reload */
        unsigned reloads;           /* that succeeded */
        unsigned reloads_failed;

        uint64_t started;        /* clock_now() */
        time_t start_time;       /* the same moment as calendar time */
        uint64_t reload_started; /* clock_now() of the last start of a generation */
};

/* Serves what the file says until it is told to stop. Gives the exit status. */
int manager_run(const char *file);

/* The generation after `g`, in this order: current, next, old ones. NULL gives the first, and
 * follows the last. */
struct generation *manager_each(const struct manager *m, const struct generation *g);

/* *ret_generation: the number of the generation that the verdict will be about. -ESHUTDOWN: brickd
 * is stopping. */
int manager_reload(struct manager *m, unsigned *ret_generation);
void manager_stop(struct manager *m);

/* As workers_set_log_level(), for the current and the old generations. */
int manager_set_log_level(struct manager *m, enum log_level level, const char *brick,
                          const char *module);

/* As crew_restart(), for the generation that serves. The end is told by bus_restarted(). */
int manager_restart(struct manager *m, const char *brick, size_t *ret_n);

/* As workers_query() and workers_await_answer(), for the current and the old generations. */
void manager_query(struct manager *m);
bool manager_awaits_answer(const struct manager *m);

/* Generations older than this one are still ending. */
bool manager_retires_before(const struct manager *m, unsigned generation);

/* What Status() answers: a JSON object; free() it. All five of these give 0 or -ENOMEM. */
int manager_status(const struct manager *m, char **ret);

/* What all workers have counted, running and dead ones. */
int manager_tally(const struct manager *m, struct tally **ret);

/* What Stats() answers: a JSON object about bricks and how long their calls took; free() it. */
int manager_stats(const struct manager *m, char **ret);

/* What Identities() answers: a JSON object about identities and their token budgets; free() it. */
int manager_identities(const struct manager *m, char **ret);

/* All metrics, as text for Prometheus; free() it. */
int manager_metrics(const struct manager *m, char **ret, size_t *ret_length);

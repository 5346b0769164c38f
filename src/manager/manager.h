/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The main process: holds the sockets and the promise to serve. It owns the generations of the
 * configuration: the one that serves, the one that starts (a reload, or the first), and those that
 * drain.
 *
 *   stage     SIGHUP, Reload()            SIGTERM, SIGINT, Stop()
 *   --------  --------------------------  -----------------------------------
 *   STARTING  once it serves              kill what has started
 *   SERVING   start the next generation   stop: drain.lame_duck, drain.grace
 *   STOPPING  refused                     cancel the calls that still run
 *
 * A reload that is asked for during a reload follows it; asked for many times, it is still one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "manager/generation.h"
#include "manager/socket.h"
#include "util/cleanup.h"
#include "util/log.h"

struct bus;
struct http;
struct tally;

/*
 * So often, in so long, the event loop turns to what peers want of a listening socket: with no
 * descriptor free, they can want in vain without end.
 */
#define RATE_USEC (UINT64_C(100) * 1000)
#define RATE_BURST 50

enum stage {
        STAGE_STARTING,
        STAGE_SERVING,
        STAGE_STOPPING,
};

const char *stage_to_string(enum stage stage);

struct verdict {             /* on a reload */
        unsigned generation; /* 0: there has been none */
        bool ok;
        bool config; /* the file is to blame */
        char *text;
        int64_t time; /* seconds since 1970 */
};

struct manager {
        const char *file;
        enum stage stage;
        sd_event *event;
        sd_event_source *reload; /* pending: a reload is wanted */
        sd_event_source *tick;
        bool reload_wanted;
        struct processes *processes;
        struct inherited inherited;
        struct bus *bus;
        struct http *http;
        struct tally *tally; /* of the workers that are gone */

        struct generation *current; /* serves; NULL: not yet, or all gone */
        struct generation *next;    /* starts */
        struct generation *old;     /* drain */
        unsigned last_number;
        struct verdict verdict;
        unsigned reloads; /* that have succeeded, */
        unsigned reloads_failed;

        uint64_t started;  /* clock_now() */
        time_t start_time; /* the same moment, of the calendar */
        uint64_t begun;    /* clock_now() of the last reload */
        uint64_t interval; /* ns in which a worker must answer */
        bool watchdog;     /* systemd wants to be told */
};

/* Serves what the file says until it is told to stop; gives the exit status. Signals are blocked.
 */
int manager_run(const char *file);

/* The rest is what the control bus asks for. */

/* The number of the generation on which the verdict will be. -ESHUTDOWN: it is stopping. */
int manager_reload(struct manager *m, unsigned *ret_generation);
void manager_stop(struct manager *m);

/* As workers_set_log_level(); of workers that drain as well. */
int manager_set_log_level(struct manager *m, enum log_level level, const char *brick,
                          const char *module);
void manager_query(struct manager *m);
bool manager_awaits_answer(const struct manager *m);

/* Workers older than that generation are still draining. */
bool manager_retires_before(const struct manager *m, unsigned generation);

/* Everything about it as one JSON object. */
int manager_status(const struct manager *m, char **ret);

/* What all workers have counted, those that live included. */
int manager_tally(const struct manager *m, struct tally **ret);

/* The bricks and how long their calls take, as one JSON object; asks no worker. */
int manager_stats(const struct manager *m, char **ret);

/* The same, and more, as text for Prometheus. */
int manager_metrics(const struct manager *m, char **ret, size_t *ret_length);

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/identities.h"
#include "manager/identities.h"
#include "manager/report.h"
#include "util/log.h"
#include "util/watch.h"

struct identities_source {
        const struct conf *conf;
        char *path;
        sd_event_source *timer;
        struct watch watch;
        int (*changed)(struct identities_source *source, void *user);
        void *user;

        char *bytes; /* the text in force */
        size_t length;
        struct identity_limits *limits; /* what it says */
        size_t n_limits;
        struct diag *mistakes;
        bool announced;
        char *failure;    /* why the file could not be read, as logged; NULL: it could be read */
        bool undelivered; /* `changed` has failed for the text in force */
};

/* A file as it has been read. */
struct reading {
        char *bytes;
        size_t length;
        struct diag *diag;
        struct identities *identities; /* NULL: there are mistakes */
};

static void reading_done(struct reading *reading)
{
        (void)identities_free(reading->identities);
        (void)diag_free(reading->diag);
        free(reading->bytes);
}

static int parse(const char *path, const char *bytes, size_t length, struct reading *reading)
{
        int r;

        r = diag_new(&reading->diag, path, bytes, length);
        if (r < 0)
                return r;
        r = identities_parse(&reading->identities, bytes, length, reading->diag);
        return r == -EINVAL ? 0 : r;
}

static int read_file(const char *path, struct reading *reading, char **ret_why)
{
        int r;

        r = identities_read(path, &reading->bytes, &reading->length, ret_why);
        if (r < 0)
                return r;
        return parse(path, reading->bytes, reading->length, reading);
}

/* --- log lines -------------------------------------------------------------------------------- */

static void log_identities(enum log_level level, const char *path, const char *what)
{
        const struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_IDENTITIES, strlen(LOG_ID_IDENTITIES) },
                { "CONFIG_FILE", path, strlen(path) },
        };

        log_fields(level, fields, ELEMENTSOF(fields), "%s", what);
}

static void log_failure(const char *path, const char *why, const struct diag *diag)
{
        for (size_t i = 0; diag && diag_text(diag, i); i++)
                report_mistake(path, diag_text(diag, i));
        if (why)
                log_identities(LOG_LEVEL_ERROR, path, why);
        log_identities(LOG_LEVEL_ERROR, path,
                       "The identities cannot be read; those read before stay in force");
}

/* A permission may name a brick that does not exist yet: that is no mistake, but worth a warning.
 */
static void warn_of_unknown_bricks(const struct conf *conf, const struct reading *reading)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;

        if (diag_new(&diag, conf->identities, NULL, 0) < 0)
                return;
        identities_check_bricks(reading->identities, conf, diag);
        for (size_t i = 0; diag_text(diag, i); i++)
                log_identities(LOG_LEVEL_WARNING, conf->identities, diag_text(diag, i));
}

/* --- changes ---------------------------------------------------------------------------------- */

static void deliver(struct identities_source *source)
{
        int r = source->changed(source, source->user);

        if (r < 0 && !source->undelivered)
                (void)log_errno(r, "Cannot give the new identities to the workers yet: %m");
        source->undelivered = r < 0;
}

/* -ENOMEM: those kept before stay. */
static int keep_limits(struct identities_source *source, const struct identities *identities)
{
        struct identity_limits *limits = calloc(identities->n + 1, sizeof *limits);

        if (!limits)
                return -ENOMEM;
        for (size_t i = 0; i < identities->n; i++) {
                const struct identity *identity = &identities->list[i];

                limits[i] = (struct identity_limits){
                        .expires = identity->expires,
                        .has_budget = identity_has_budget(identity),
                        .tokens = {
                                [WINDOW_MINUTE] = identity->tokens.minute,
                                [WINDOW_DAY] = identity->tokens.day,
                                [WINDOW_MONTH] = identity->tokens.month,
                        },
                };
                (void)strcpy(limits[i].name, identity->name);
        }
        free(source->limits);
        source->limits = limits;
        source->n_limits = identities->n;
        return 0;
}

static void replace_text(struct identities_source *source, struct reading *reading)
{
        char text[64];

        (void)snprintf(text, sizeof text, "The identities have changed: %zu now",
                       reading->identities->n);
        log_identities(LOG_LEVEL_NOTICE, source->path, text);
        warn_of_unknown_bricks(source->conf, reading);
        (void)keep_limits(source, reading->identities);
        free(source->bytes);
        source->bytes = TAKE_PTR(reading->bytes);
        source->length = reading->length;
        source->undelivered = false;
        deliver(source);
}

/* Reading is retried until it succeeds, so the same reason is logged once only. */
static void log_unreadable(struct identities_source *source, const char *why)
{
        if (source->failure && strcmp(source->failure, why) == 0)
                return;
        free(source->failure);
        source->failure = strdup(why);
        log_failure(source->path, why, NULL);
}

static void read_again(struct identities_source *source)
{
        _cleanup_(reading_done) struct reading reading = {};
        _cleanup_free_ char *why = NULL;
        int r;

        r = read_file(source->path, &reading, &why);
        if (r < 0) {
                log_unreadable(source, why ? why : strerror(-r));
                return;
        }
        watch_done(&source->watch);
        source->failure = (free(source->failure), NULL);
        if (reading.identities)
                replace_text(source, &reading);
        else
                log_failure(source->path, NULL, reading.diag);
}

/* Warnings of the first reading come from the event loop: before that the log was not open. */
static void announce(struct identities_source *source)
{
        _cleanup_(reading_done) struct reading reading = {};

        source->announced = true;
        if (parse(source->path, source->bytes, source->length, &reading) == 0)
                warn_of_unknown_bricks(source->conf, &reading);
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *user)
{
        struct identities_source *source = user;

        if (!source->announced)
                announce(source);
        if (watch_changed(&source->watch))
                read_again(source);
        if (source->undelivered)
                deliver(source);
        (void)sd_event_source_set_time_relative(timer, WATCH_INTERVAL * 1000);
        return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* --- creation and destruction ----------------------------------------------------------------- */

int identities_source_new(struct identities_source **ret, const struct conf *conf, sd_event *event,
                          int (*changed)(struct identities_source *source, void *user), void *user,
                          char **ret_why)
{
        _cleanup_(identities_source_freep) struct identities_source *source = calloc(
                1, sizeof *source);
        _cleanup_(reading_done) struct reading reading = {};
        int r;

        if (!source)
                return -ENOMEM;
        source->conf = conf;
        source->changed = changed;
        source->user = user;
        source->path = strdup(conf->identities);
        if (!source->path)
                return -ENOMEM;
        watch_init(&source->watch, source->path);
        r = read_file(source->path, &reading, ret_why);
        if (r < 0)
                return r;
        if (reading.identities)
                r = keep_limits(source, reading.identities);
        if (reading.identities && r == 0)
                r = sd_event_add_time_relative(event, &source->timer, CLOCK_MONOTONIC, 0, 0,
                                               on_timer, source);
        if (r < 0)
                return r;
        source->bytes = TAKE_PTR(reading.bytes);
        source->length = reading.length;
        source->mistakes = TAKE_PTR(reading.diag);
        *ret = TAKE_PTR(source);
        return 0;
}

struct identities_source *identities_source_free(struct identities_source *source)
{
        if (!source)
                return NULL;
        sd_event_source_disable_unref(source->timer);
        (void)diag_free(source->mistakes);
        free(source->failure);
        free(source->limits);
        free(source->bytes);
        free(source->path);
        free(source);
        return NULL;
}

const struct diag *identities_mistakes(const struct identities_source *source)
{
        return source->mistakes;
}

const struct identity_limits *identities_limits(const struct identities_source *source,
                                                size_t *ret_n)
{
        *ret_n = source ? source->n_limits : 0;
        return source ? source->limits : NULL;
}

const char *identities_bytes(const struct identities_source *source, size_t *ret_length)
{
        bool good = source && source->timer;

        *ret_length = good ? source->length : 0;
        return good ? source->bytes : NULL;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/node.h"
#include "conf/option.h"
#include "serve/certificate.h"
#include "serve/tls.h"
#include "shared/stats.h"
#include "util/log.h"
#include "util/watch.h"

/* After so many checks, files that were wrong are read again even if none has changed: the cause
 * may have been brickd's, such as a lack of descriptors. */
#define RETRY_CHECKS 30

/* What has been logged about a certificate's validity. */
enum said {
        SAID_NOTHING,
        SAID_EARLY,
        SAID_RENEW,
        SAID_EXPIRED,
};

struct validity_watch {
        struct validity validity;
        enum said said;
};

struct tls {
        const struct conf *conf;
        const struct conf_tls *port;
        struct stats_port *stats;
        char *key_path; /* NULL: the key is in no file */
        bool speaks;

        struct watch files[3];
        size_t n_files;
        bool changed;    /* one has, and others may be about to change */
        unsigned broken; /* checks since the files were found wrong; 0: they are right */

        struct validity_watch chain; /* of what is in use */
        struct validity_watch roots;

        /* What the transport has not taken yet. tls_take() may take it on another thread.
         */
        _Atomic(struct certificate *) fresh;
};

/* --- the log ------------------------------------------------------------------------------------
 */

static void log_mistakes(const struct tls *tls, enum log_level level, const struct diag *diag,
                         const char *consequence)
{
        const char *text;
        char line[16];

        for (size_t i = 0; (text = diag_text(diag, i)); i++) {
                int n = snprintf(line, sizeof line, "%u", diag_line(diag, i));
                const struct log_field fields[] = {
                        { "MESSAGE_ID", LOG_ID_CERTIFICATE, strlen(LOG_ID_CERTIFICATE) },
                        { "CONFIG_FILE", tls->conf->name, strlen(tls->conf->name) },
                        { "CONFIG_LINE", line, (size_t)n },
                };

                log_fields(tls->speaks ? level : LOG_LEVEL_DEBUG, fields, ELEMENTSOF(fields),
                           "%s%s", text, consequence);
        }
}

/* Logs "WHAT DATE", with the place of the node in the configuration. */
static void log_validity(const struct tls *tls, enum log_level level, const struct node *node,
                         const char *what, time_t when)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        char date[64];
        struct tm tm;

        if (diag_new(&diag, tls->conf->name, NULL, 0) < 0 || !gmtime_r(&when, &tm))
                return;
        (void)strftime(date, sizeof date, "%F %T UTC", &tm);
        diag_add(diag, node, "%s %s", what, date);
        log_mistakes(tls, level, diag, "");
}

static enum said judge_validity(const struct validity *validity)
{
        time_t now = time(NULL);

        if (now >= validity->ends)
                return SAID_EXPIRED;
        if (now >= validity->renew)
                return SAID_RENEW;
        return now < validity->begins ? SAID_EARLY : SAID_NOTHING;
}

static void watch_one(const struct tls *tls, struct validity_watch *watched,
                      const struct node *node)
{
        enum said said = judge_validity(&watched->validity);

        if (said == watched->said)
                return;
        watched->said = said;
        if (said == SAID_EXPIRED)
                log_validity(tls, LOG_LEVEL_ERROR, node, "expired:", watched->validity.ends);
        else if (said == SAID_RENEW)
                log_validity(tls, LOG_LEVEL_WARNING, node, "expires soon:", watched->validity.ends);
        else if (said == SAID_EARLY)
                log_validity(tls, LOG_LEVEL_WARNING, node, "is not valid before",
                             watched->validity.begins);
}

static void watch_validity(struct tls *tls)
{
        watch_one(tls, &tls->chain, node_get(tls->port->node, "certificate"));
        if (tls->port->client_ca)
                watch_one(tls, &tls->roots, node_get(tls->port->node, "client_ca"));
}

/* --- files --------------------------------------------------------------------------------------
 */

static int read_files(struct tls *tls, struct diag *diag)
{
        struct certificate *certificate;
        int r;

        r = certificate_read(&certificate, tls->port, tls->conf->base, diag);
        if (r < 0)
                return r;
        tls->chain = (struct validity_watch){ .validity = certificate->chain_validity };
        tls->roots = (struct validity_watch){ .validity = certificate->roots_validity };
        atomic_store(&tls->stats->certificate_ends, (uint64_t)certificate->chain_validity.ends);
        (void)certificate_free(atomic_exchange(&tls->fresh, certificate));
        return 0;
}

/* `again`: no file has changed since they were found wrong. */
static void replace(struct tls *tls, bool again)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        const char *what;
        int r;

        r = diag_new(&diag, tls->conf->name, NULL, 0);
        if (r == 0)
                r = read_files(tls, diag);
        if (r < 0) {
                tls->broken = 1;
                if (diag && !again)
                        log_mistakes(tls, LOG_LEVEL_ERROR, diag,
                                     "; the previous files stay in use");
                return;
        }
        what = tls->broken > 0
                       ? "the files are right again and in use; the certificate is valid until"
                       : "the new files are in use; the certificate is valid until";
        log_validity(tls, LOG_LEVEL_NOTICE, tls->port->node, what, tls->chain.validity.ends);
        tls->broken = 0;
}

/* True: files have changed, and none is being changed any more. */
static bool files_changed(struct tls *tls)
{
        bool rest = true;

        for (size_t i = 0; i < tls->n_files; i++) {
                if (watch_changed(&tls->files[i])) {
                        tls->changed = true;
                        watch_done(&tls->files[i]);
                }
                rest = rest && tls->files[i].rests;
        }
        if (!tls->changed || !rest)
                return false;
        tls->changed = false;
        return true;
}

void tls_maintain(struct tls *tls)
{
        if (files_changed(tls))
                replace(tls, false);
        else if (tls->broken > 0 && tls->broken++ == RETRY_CHECKS)
                replace(tls, true);
        watch_validity(tls);
}

static void add_file(struct tls *tls, const char *path)
{
        if (path)
                watch_init(&tls->files[tls->n_files++], path);
}

/* --- the whole --------------------------------------------------------------------------------
 */

int tls_new(struct tls **ret, const struct conf *conf, const struct conf_tls *port,
            struct stats_port *stats, bool speaks, struct diag *diag)
{
        _cleanup_(tls_freep) struct tls *tls = calloc(1, sizeof *tls);
        int r;

        if (!tls)
                return -ENOMEM;
        tls->conf = conf;
        tls->port = port;
        tls->stats = stats;
        tls->speaks = speaks;
        tls->key_path = option_secret_path(port->key, conf->base);
        /* Watched before they are read, so that no change is missed. */
        add_file(tls, port->certificate);
        add_file(tls, tls->key_path);
        add_file(tls, port->client_ca);
        r = read_files(tls, diag);
        if (r < 0)
                return r;
        watch_validity(tls);
        *ret = TAKE_PTR(tls);
        return 0;
}

struct tls *tls_free(struct tls *tls)
{
        if (!tls)
                return NULL;
        (void)certificate_free(atomic_load(&tls->fresh));
        free(tls->key_path);
        free(tls);
        return NULL;
}

struct certificate *tls_take(struct tls *tls)
{
        if (!atomic_load_explicit(&tls->fresh, memory_order_relaxed))
                return NULL;
        return atomic_exchange(&tls->fresh, NULL);
}

const struct conf_tls *tls_conf(const struct tls *tls)
{
        return tls->port;
}

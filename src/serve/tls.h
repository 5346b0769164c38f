/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TLS of one port: the files of its certificates, which may change while the port serves. New
 * connections use what the files have now; open ones keep what they have.
 */

#include <stdbool.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct certificate;
struct diag;
struct stats_port;
struct tls;

/*
 * Reads the files. -EINVAL: there are mistakes, which are in diag. All workers find the same in the
 * files: only the one that `speaks` logs it, the others at debug level. conf, its port and the
 * port's stats must outlive the tls. [main]
 */
int tls_new(struct tls **ret, const struct conf *conf, const struct conf_tls *port,
            struct stats_port *stats, bool speaks, struct diag *diag);

/* When no thread uses it any more. [main] */
struct tls *tls_free(struct tls *tls);
DEFINE_CLEANUP(struct tls *, tls_free);

/* What the files have, for the transport, which frees it: first what tls_new() has read, then what
 * tls_maintain() has read since. NULL: nothing new. [any] */
struct certificate *tls_take(struct tls *tls);

/* The port's options. [any] */
const struct conf_tls *tls_conf(const struct tls *tls);

/*
 * Checks the files, about once a second. Files that have changed, and are then the same at the next
 * check, are read. If they are right, they replace what is in use; if they are wrong, that is
 * logged once. Also logs, once each, that a certificate should be renewed and that it has expired.
 * [main]
 */
void tls_maintain(struct tls *tls);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TLS of one port: its credentials, and the files they are made of, which may change while it
 * serves. New connections get what the files hold now; those that are open keep what they have.
 */

#include <grpc/grpc_security.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "util/cleanup.h"

struct diag;
struct stats_port;
struct tls;

/*
 * Reads the files. Mistakes go to diag; -EINVAL then. `speaks`: says in the log what all workers
 * find in the same files; the others say it at debug level. conf, its port and the port's stats
 * must outlive the tls. [main]
 */
int tls_new(struct tls **ret, const struct conf *conf, const struct conf_tls *port,
            struct stats_port *stats, bool speaks, struct diag *diag);

/* Once the server is gone that has its credentials. [main] */
struct tls *tls_free(struct tls *tls);
DEFINE_CLEANUP(struct tls *, tls_free);

/* For one port of one server: the core takes the first certificate right then. Release them. [main]
 */
grpc_server_credentials *tls_credentials(struct tls *tls);

/*
 * Has a look at the files, about once a second. Those that have changed, and have then stayed the
 * same until the next look, are read; what is right replaces what is in use, what is wrong does not
 * and is said once. Also says, once each, that a certificate should be renewed or has expired.
 * [main]
 */
void tls_look(struct tls *tls);

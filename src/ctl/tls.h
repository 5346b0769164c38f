/* SPDX-License-Identifier: MIT */
#pragma once

/* The encryption of a call: from the command line, otherwise from the port of the configuration. */

#include "conf/conf.h"
#include "ctl/ctl.h"

/* port: the port to call; NULL: not known. CTL_OK, or the exit status after an error message. The
 * caller releases *ret with tls_done(). */
int tls_find(const struct ctl *ctl, const struct conf_port *port, struct rpc_tls *ret);
void tls_done(struct rpc_tls *tls);

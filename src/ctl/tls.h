/* SPDX-License-Identifier: MIT */
#pragma once

/* How a call is encrypted: what the command line says, else what the configuration's port needs. */

#include "conf/conf.h"
#include "ctl/ctl.h"

/* port: the one that is called; NULL: not known. CTL_OK, or the exit status and all is said. */
int tls_find(const struct ctl *ctl, const struct conf_port *port, struct rpc_tls *ret);
void tls_done(struct rpc_tls *tls);

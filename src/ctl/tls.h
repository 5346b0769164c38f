/* SPDX-License-Identifier: MIT */
#pragma once

/* The encryption of a call: from the command line, otherwise from the port of the configuration. */

#include "conf/conf.h"
#include "ctl/ctl.h"

/* port: of the port to call; all zeros: not known, or plain text. listen: its name in messages.
 * CTL_OK, or the exit status after an error message. The caller releases *ret with tls_done(). */
int tls_find(const struct ctl *ctl, const char *listen, const struct conf_tls *port,
             struct rpc_tls *ret);
void tls_done(struct rpc_tls *tls);

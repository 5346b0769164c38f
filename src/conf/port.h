/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of conf_parse() that read `ports:` and `metrics:`. They need the checked conf->root and
 * conf->bricks. Mistakes go to diag. 0 or -ENOMEM.
 */

struct conf;
struct diag;

int port_read_all(struct conf *conf, struct diag *diag);

/* Call it after port_read_all(): the metrics must not listen at the address of a port. */
int port_read_metrics(struct conf *conf, struct diag *diag);

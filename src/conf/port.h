/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of conf.c that read `ports:` and `metrics:`. conf->root has been checked, and the
 * bricks have been read. Mistakes go to diag. 0 or -ENOMEM.
 */

struct conf;
struct diag;

int port_read_all(struct conf *conf, struct diag *diag);

/* After port_read_all(): no port may listen at the same place. */
int port_read_metrics(struct conf *conf, struct diag *diag);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The listening sockets of one generation: one per entry of `ports:`, and the one for metrics.
 * Embedded; all zero is none.
 */

#include <stddef.h>

#include "manager/socket.h"

struct conf;

struct sockets {
        struct socket **ports; /* in the order of `ports:` */
        size_t n_ports;
        struct socket *metrics; /* NULL: the configuration wants none */
};

/*
 * Takes over the sockets of `previous` (may be NULL) whose address stays, and opens the others. If
 * a port fails, *ret_failed is that port and *ret_why, if it is set, says why; free() it. Call
 * sockets_release() after a failure, too.
 */
int sockets_open(struct sockets *sockets, const struct conf *conf, const struct sockets *previous,
                 const struct inherited *inherited, const struct conf_port **ret_failed,
                 char **ret_why);

/* Gives the files of unix sockets the mode, owner and group of this configuration. Logs what fails.
 */
void sockets_set_access(struct sockets *sockets, const struct conf *conf);

/* Closes the main process's descriptors of the ports: workers go on accepting with theirs. */
void sockets_close_ports(struct sockets *sockets);
void sockets_release(struct sockets *sockets);

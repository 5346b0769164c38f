/* SPDX-License-Identifier: MIT */
#pragma once

/* Methods of brickd's control socket: D-Bus, peer to peer. */

#include <stdint.h>

struct bus_reply {
        char *text;  /* of the answer, or of the error; never NULL on success */
        char *error; /* the D-Bus name of the error; NULL: the method has done what it was asked */
};

void bus_reply_done(struct bus_reply *reply);

/*
 * Calls a method of org.brickd.Manager; arguments as for sd_bus_message_append(). timeout in ns (0:
 * none). 0: brickd has answered; else why not: -ENOENT or -ECONNREFUSED: it does not run; -EACCES:
 * the caller may not; -ETIMEDOUT; or another negative errno.
 */
int bus_call(const char *path, int64_t timeout, struct bus_reply *ret, const char *method,
             const char *types, ...);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Calls methods on brickd's control socket, which speaks peer-to-peer D-Bus. */

#include <stdint.h>
#include <sys/types.h>

struct bus_reply {
        char *text;  /* the result or the error message; never NULL on success */
        char *error; /* the D-Bus name of the error; NULL: the method succeeded */
};

void bus_reply_done(struct bus_reply *reply);

/* The process that listens on a control socket. timeout is in ns; 0: none. 0; -ETIMEDOUT: its queue
 * is full for so long; another negative errno. */
int bus_listener(const char *path, int64_t timeout, pid_t *ret);

/*
 * Calls a method of org.brickd.Manager; arguments as for sd_bus_message_append(). timeout is in ns;
 * 0: none. 0: brickd has answered, perhaps with an error. -ENOENT or -ECONNREFUSED: brickd is not
 * running; -EACCES: no permission; -ETIMEDOUT; or another negative errno. The caller releases *ret
 * with bus_reply_done().
 */
int bus_call(const char *path, int64_t timeout, struct bus_reply *ret, const char *method,
             const char *types, ...);

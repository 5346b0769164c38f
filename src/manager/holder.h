/* SPDX-License-Identifier: MIT */
#pragma once

/* The name of the process that listens on an address which brickd wants: "nginx (pid 123)". free()
 * it. -ENOENT if /proc does not show it: with ProtectProc=invisible that hides other users'
 * processes. Silent. */

#include <netinet/in.h>
#include <sys/types.h>

union inet_address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

int holder_of_port(const union inet_address *address, char **ret);
int holder_by_pid(pid_t pid, char **ret);

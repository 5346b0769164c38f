/* SPDX-License-Identifier: MIT */
#pragma once

/* Who has the address that we wanted: "nginx (pid 123)". Silent; what /proc does not show, such as
 * other users' programs where ProtectProc=invisible, is -ENOENT. */

#include <netinet/in.h>
#include <sys/types.h>

union inet_address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

int holder_of_port(const union inet_address *address, char **ret);
int holder_by_pid(pid_t pid, char **ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets. The generations of the configuration that listen on the same address share
 * one, so that a reload never closes what it keeps. Silent: why something failed is text.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "manager/unix.h"
#include "util/cleanup.h"

struct conf_port;

struct socket {
        unsigned n_ref;
        int fd;        /* -EBADF: closed by socket_close() */
        char *listen;  /* as the configuration says it */
        char *address; /* as it is: with the port that was chosen for port 0 */
        bool inherited;

        char *path; /* of a unix socket; the file is removed at the end if it is still this one */
        struct unix_file file;
};

/* What systemd has passed. */
struct inherited {
        char **names; /* of the descriptors from SD_LISTEN_FDS_START on */
        int n;
};

int inherited_init(struct inherited *inherited);
void inherited_done(struct inherited *inherited);

/* *ret_why: what the user reads after "Cannot listen on ADDRESS: "; free() it. */
int socket_open(struct socket **ret, const struct conf_port *port,
                const struct inherited *inherited, char **ret_why);
int socket_open_unix(struct socket **ret, const char *path, mode_t mode, char **ret_why);

/* Whether a socket that systemd has opened may be what it is, which shows only now. -EPERM: no. */
int socket_check(const struct socket *socket, const struct conf_port *port, char **ret_why);

/* The file of a unix socket has been removed: nobody can connect any more. */
bool socket_is_lost(const struct socket *socket);

/* A socket that is kept gets the mode, owner and group that its port has now. */
int socket_set_access(struct socket *socket, const struct conf_port *port, char **ret_why);

struct socket *socket_ref(struct socket *socket);
struct socket *socket_unref(struct socket *socket);
DEFINE_CLEANUP(struct socket *, socket_unref);

/* Ours only: the workers' copies go on accepting. */
void socket_close(struct socket *socket);

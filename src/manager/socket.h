/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One listening socket of the main process, with references: generations that listen on the same
 * address share it, so that a reload never closes what it keeps. Silent: failures give a text.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "manager/unix.h"
#include "util/cleanup.h"

struct conf_port;

struct socket {
        unsigned n_ref;
        int fd;        /* -EBADF: closed by socket_close() */
        char *listen;  /* as configured */
        char *address; /* as bound: with the port that the kernel chose for port 0 */
        bool inherited;

        char *path; /* of a unix socket; NULL: none. Its file is removed with the socket, unless
                       another file has that path by then */
        struct unix_file file;
};

/* The sockets that systemd has passed. */
struct inherited {
        char **names; /* of the descriptors from SD_LISTEN_FDS_START on */
        int n;
};

int inherited_init(struct inherited *inherited);
void inherited_done(struct inherited *inherited);

/* Opens a socket, or takes it from `inherited`. After a failure *ret_why may be a text that fits
 * after "Cannot listen on ADDRESS: "; free() it. */
int socket_open(struct socket **ret, const struct conf_port *port,
                const struct inherited *inherited, char **ret_why);
int socket_open_unix(struct socket **ret, const char *path, mode_t mode, char **ret_why);

/* Checks the address of an inherited socket, which is not known earlier. -EPERM: other machines can
 * reach it, and the port is not guarded. */
int socket_check(const struct socket *socket, const struct conf_port *port, char **ret_why);

/* The file of a unix socket has been removed, so that nobody can connect any more. */
bool socket_is_lost(const struct socket *socket);

/* Gives the file of a unix socket the mode, owner and group of `port`. */
int socket_set_access(struct socket *socket, const struct conf_port *port, char **ret_why);

struct socket *socket_ref(struct socket *socket);
struct socket *socket_unref(struct socket *socket);
DEFINE_CLEANUP(struct socket *, socket_unref);

/* Closes the main process's descriptor; workers go on accepting with theirs. */
void socket_close(struct socket *socket);

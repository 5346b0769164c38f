/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A listening socket of a port, which the main process has opened and other workers share, and how
 * connections are accepted on it:
 *   - the limits of the port hold (peers.h);
 *   - a worker that has more connections than another leaves the next one to that;
 *   - so many are accepted at a time that those that are open are still served;
 *   - a full descriptor table does not end the listener;
 *   - the header of a proxy is taken off first (proxied.h);
 *   - a worker can stop accepting.
 *
 * It is for edge-triggered epoll: listener_accept() is called when the event of the listener comes,
 * until it returns -1, and sees to it that the event comes again when more connections wait.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct conf_port;
struct proxied;
struct stats_port;

struct listener {
        const struct conf_port *conf;
        struct stats_port *stats;
        struct listener *next;
        struct proxied *proxied; /* NULL: no connection begins with a PROXY header */
        unsigned connections;    /* under the lock of peers.c */
        atomic_bool left;        /* its socket is closed: the number is another file's */
        atomic_bool missed;      /* accept4() has failed, and a connection may still wait */

        /* For the thread that accepts, one at a time. */
        int fd;
        int epoll;                /* where its event is waited for; -1: nowhere yet */
        struct epoll_event event; /* that event */
        unsigned batch;           /* connections accepted since something else was last done */

        /* While connections are left to other workers. */
        int timer;      /* in the same epoll, with the same event; -1: not made yet */
        uint64_t until; /* CLOCK_MONOTONIC ns: when this worker accepts again; 0: it does now */
        unsigned few;   /* connections that it may then accept */
};

/* Never freed: connections name it. conf has the limits of the connections, and stats counts them;
 * both outlive them. NULL: out of memory. [main] */
struct listener *listener_new(int fd, const struct conf_port *conf, struct stats_port *stats);

/* Options that the connections of a socket inherit; a unix socket has none of them. */
void listener_set_options(int fd);

/* The event of the listener is waited for there. */
void listener_wait(struct listener *listener, int epoll, const struct epoll_event *event);

/*
 * The next connection that is to be served; -1: none, for now. It is counted in peers.h under the
 * key of *ret_address, which is its peer's or, behind a proxy that says so, its client's.
 */
int listener_accept(struct listener *listener, struct sockaddr_storage *ret_address, int flags);

/* No connection is to come from it any more: its descriptor is about to be closed. Connections that
 * are not to be served yet are closed. */
void listener_close(struct listener *listener);

/*
 * This worker accepts no more connections, for good: it closes the sockets. If `shared`, another
 * process accepts those that wait. Else they are accepted first, so that none is reset, as long as
 * this is called again; false: some still wait. [main]
 */
bool listeners_leave(bool shared);

/* Once a second, while it accepts: tries again to accept connections that could not be accepted,
 * for example for lack of memory. [main] */
void listeners_maintain(void);

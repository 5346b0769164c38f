/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What brickd knows of the descriptors that gRPC core uses. Each descriptor number has one record,
 * which says whether the descriptor is a listening socket that brickd has adopted, a connection
 * that the core has accepted on one or has made to a backend, or something else. The number is the
 * key, because it is all that the core shows of a connection.
 *
 * A record is made when its number is first used for a connection or a listener. It is never freed:
 * an event that the kernel has already delivered may still name it.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "rpc/gather.h"
#include "rpc/inspect.h"

struct listener;

/* Descriptors with this number or a higher one are not served. */
#define FD_BITS 20
#define FD_MAX (1 << FD_BITS)

enum fd_kind {
        FD_OTHER,
        FD_CONNECTION, /* accepted on an adopted socket, or made by the core */
        FD_LISTENER,   /* adopted */
};

/* How much the core may read from a connection before it reads from others: see receive.c. Used by
 * the thread that reads. */
struct budget {
        size_t size;                    /* bytes; 0: none has been given yet */
        size_t left;                    /* of them */
        uint64_t data, calls, messages; /* what the client had sent of them when it was given */
        bool spent;                     /* the next event gives a new one */

        unsigned hold; /* the last one of receive_hold() that was seen; 0: none */
        uint64_t held; /* calls that the client had begun before it */

        unsigned second; /* of connection_second(), in which `begun` was noted */
        uint64_t begun;  /* calls that the client had begun before that second */
};

struct connection {
        int fd;
        atomic_uint serial; /* which of those that have had this number; not 0 */

        bool local; /* of a client, on a unix socket */
        uid_t user; /* who has connected, if it is local */

        struct inspect inspect;
        struct budget budget;

        atomic_int epoll;         /* where the core waits for events; -1: nowhere yet */
        struct epoll_event event; /* for which it waits there, with data of brickd's */
        _Atomic uint64_t data;    /* the core's own, to be put into its events */
        atomic_bool event_came;   /* since receive.c last asked */
        uint64_t begun;           /* clock_now() */
        atomic_bool ended;        /* the peer sends no more, or takes no more */
        atomic_uint heard;        /* of connection_second(): when it last sent something */
        atomic_bool disconnected; /* by the peer or by brickd: what it has sent is worthless */
        atomic_bool shed;         /* by connection_shed(): the core hears of it at once */
        atomic_bool blocked;      /* the send buffer is full, or a send is being tried */
        atomic_bool read_refused; /* because of that */
        atomic_bool rearm;        /* connection_rearm_all() is to re-arm its event */

        pthread_mutex_t lock; /* of `gather`, and of the end of the connection */
        struct gather gather;
};

struct fd_record {
        atomic_uchar kind; /* enum fd_kind */
        struct listener *listener;
        struct connection connection;
};

/*
 * Records a connection that was accepted on the listener, which must outlive it, and counted in
 * peers.h. NULL: there is no memory; it is counted no more, and that has been logged. [any]
 */
struct connection *connection_add(int fd, struct listener *listener,
                                  const struct sockaddr *address);

/* Records a connection that the core makes as a client, before the core waits for its events. It
 * counts for no limit, and what the server sends is not inspected. [any] */
void connection_add_client(int fd);

/* Whether it is one of those. [any] */
static inline bool connection_is_client(const struct connection *connection)
{
        return !connection->inspect.peer.listener;
}

/* getpeername() of a local connection, whose address is then "uid=NUMBER": see PEER_USER. [any] */
int connection_name_user(const struct connection *connection, struct sockaddr *address,
                         socklen_t *length);

/* The core ends the connection. If it does so for what the client has sent, or has not sent in
 * time, that is counted and logged. [any] */
void connection_note_end(struct connection *connection);

/* Forgets the connection, before its descriptor is closed. [any] */
void connection_remove(struct connection *connection);

/* connection.c's. Costs no memory until it is used: its pages are zero. */
extern _Atomic(struct fd_record *) fd_records[FD_MAX];

/* The record of a descriptor number; NULL: it has none yet. [any] */
static inline struct fd_record *fd_record(int fd)
{
        return (unsigned)fd < FD_MAX ? atomic_load_explicit(&fd_records[fd], memory_order_acquire)
                                     : NULL;
}

/* The same, but makes it if there is none; NULL: there is no memory, or the number is too large.
 * [any] */
struct fd_record *fd_record_make(int fd);

/* NULL: the descriptor is no connection. [any] */
static inline struct connection *connection_of(int fd)
{
        struct fd_record *record = fd_record(fd);

        return record && atomic_load_explicit(&record->kind, memory_order_acquire) == FD_CONNECTION
                       ? &record->connection
                       : NULL;
}

/*
 * Walks through all connections, downwards: begin with *fd = connection_end(). Returns the next
 * connection below *fd, and puts its number there; NULL: there is none. The caller gets its lock,
 * and the connection is not closed while it holds it. [any]
 */
struct connection *connection_lock_below(int *fd);
int connection_end(void);

/* Closes the connection for both sides: the core is woken, and its next read or write fails. Lock
 * held. [any] */
void connection_disconnect(struct connection *connection);

/* Re-arms the event. The core uses edge-triggered epoll: the event comes again, at once if the
 * connection is ready. False: the core does not wait for it. [any] */
bool connection_rearm(struct connection *connection);

/* Re-arms the events that were put off. [any; no lock held] */
void connection_rearm_all(void);

/* Whether bytes of a client have come that the core has not read, other than of clients that do not
 * read themselves. [any; no lock held] */
bool connection_any_unread(void);

/* Once a second: connection_rearm_all(), and closes connections whose
 * requests take longer than limits.request_time. [main] */
void connection_maintain(uint64_t now);

/* How often connection_maintain() has been called. [any] */
unsigned connection_second(void);

/* Unfinished requests take more memory than this worker may use for them: closes the connection
 * that holds the most of it. [any; no lock held] */
void connection_shed(void);

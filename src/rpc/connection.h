/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What brickd knows of a descriptor that gRPC core uses: one record for each number, which says
 * whether it is an adopted listening socket, a connection that the core has accepted on one, or
 * something else. The descriptor is the key, since it is all that the core shows of a connection.
 *
 * A record is made when its number is first used for a connection or a listener, and is never
 * freed: an event that the kernel has already given may still name it.
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

struct balance;

/* Descriptors from here on are not served. */
#define FD_BITS 20
#define FD_MAX (1 << FD_BITS)

enum fd_kind {
        FD_OTHER,
        FD_CONNECTION, /* accepted on an adopted socket */
        FD_LISTENER,   /* adopted */
};

/* How much the core may read from a connection before others have theirs: see receive.c. For the
 * thread that reads. */
struct turn {
        size_t size;          /* bytes; 0: it has had none yet */
        size_t left;          /* of them */
        uint64_t data, calls; /* what it had sent of both when the turn began */
        bool over;            /* an event begins the next */

        unsigned second; /* of connection_second() in which `begun` was counted */
        uint64_t begun;  /* calls that it had begun before that second */
};

struct connection {
        int fd;
        atomic_uint serial; /* which of those that have had this number; not 0 */

        struct inspect inspect;
        struct turn turn;

        /* Where the core waits for it, and how; the event's data is brickd's. epoll: -1 until it
         * does. */
        atomic_int epoll;
        struct epoll_event event;
        _Atomic uint64_t data;  /* what the core wants to see in its events */
        atomic_bool event_came; /* since receive.c looked */
        atomic_bool lost;       /* the peer is gone: what it has sent is worth nothing */
        atomic_bool blocked;    /* the kernel takes no more for the peer, or is just being asked */
        atomic_bool rearm;      /* its event is to be made anew in the next second */

        pthread_mutex_t lock; /* for gather, and for the end of the connection */
        struct gather gather;
};

struct fd_record {
        atomic_uchar kind; /* enum fd_kind */
        struct listener *listener;
        struct connection connection;
};

/* Before the first one: balance, which outlives them, is told how many there are. [main] */
void connection_share(struct balance *balance);

/* This worker takes no more of them: the others are not to wait for it. [any] */
void connection_leave(void);

/* This worker has more of them than another, which shall have the next one. [any] */
bool connection_is_ahead(void);

/* This worker can serve no more, few as it has: until their number changes, others shall not leave
 * it any. [any] */
void connection_refuse(void);

/*
 * A connection that the listener, which must outlive it, has accepted. NULL: a limit has been
 * reached, or memory is out; it has been counted and logged. [any]
 */
struct connection *connection_add(int fd, struct listener *listener,
                                  const struct sockaddr *address);

/* Before its descriptor is closed. [any] */
void connection_remove(struct connection *connection);

/* [any] */
unsigned connection_count(void);

/* Zero pages until touched; of connection.c. */
extern _Atomic(struct fd_record *) fd_records[FD_MAX];

/* The record of a number; NULL: it has none yet. [any] */
static inline struct fd_record *fd_record(int fd)
{
        return (unsigned)fd < FD_MAX ? atomic_load_explicit(&fd_records[fd], memory_order_acquire)
                                     : NULL;
}

/* The same, made if need be; NULL: memory is out, or the number is too large. [any] */
struct fd_record *fd_record_make(int fd);

/* NULL: the descriptor is none. [any] */
static inline struct connection *connection_of(int fd)
{
        struct fd_record *record = fd_record(fd);

        return record && atomic_load_explicit(&record->kind, memory_order_acquire) == FD_CONNECTION
                       ? &record->connection
                       : NULL;
}

/*
 * The next connection below *fd, which becomes its number; its lock is held, and it is not closed
 * as long. NULL: there is none. Begin with connection_end(). [any]
 */
struct connection *connection_lock_below(int *fd);
int connection_end(void);

/* The peer is treated as gone: the core is woken, and finds the connection lost. Lock held. [any]
 */
void connection_lose(struct connection *connection);

/* The core waits for edges: set anew, the edge comes again, at once if the connection is ready.
 * [any] */
bool connection_rearm(struct connection *connection);

/*
 * Every second: makes the events anew that were put off to the next second, and closes connections
 * whose requests take too long. [main]
 */
void connection_look(uint64_t now);

/* Counts the calls of connection_look(). [any] */
unsigned connection_second(void);

/* Requests under way take more memory than this worker may use for them: closes the connection that
 * has most of it. [any; no lock held] */
void connection_shed(void);

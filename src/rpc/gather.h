/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Gathers the core's writes. The core makes one system call for each reply, even if it has many for
 * one connection. The writes that the polling thread makes between two waits are held back here and
 * sent together, before it waits again.
 *
 * For the core a socket behaves as usual. A held byte counts as written. There are at most
 * GATHER_SIZE of them for a connection; once the kernel takes no more, the core gets EAGAIN. Bytes
 * keep their order whichever thread writes. What the core wrote before it shut a connection down is
 * still sent: linger.h. If a late write fails, the connection is disconnected: the core is woken,
 * and its next read or write fails.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct connection;
struct epoll_event;
struct gather_buffer;

/* The most bytes that a connection holds back. It has memory for them only while it does. */
#define GATHER_SIZE (32 * 1024)

/*
 * What a connection holds back; its lock guards all of it. It has a buffer in two cases: it is on
 * the list of a thread, which will flush it; or it is stalled, because the kernel takes no more,
 * and the next EPOLLOUT will flush it.
 */
struct gather {
        _Atomic bool held; /* bytes are */
        bool listed;
        struct connection *next; /* on the list */
        struct gather_buffer *buffer;
        size_t begin, end; /* of the bytes in it */

        /* linger.c's: the core has done so, and it takes effect once all bytes have been sent. */
        bool shut, closed;
        uint64_t closed_at;

        /* goaway.c's */
        bool whole;   /* the core's last write was complete, so the next begins with a frame */
        bool greeted; /* the client has acknowledged the core's SETTINGS, in plain text */
        bool goaway_sent;
};

/*
 * Turns gathering on; without it, every write goes to the kernel at once. longest, in ns: how long
 * the polling thread may work between two waits before gather_end() sends what is held. [main,
 * before the polling thread runs]
 */
void gather_enable(uint64_t longest);

/*
 * Only writes of the polling thread between gather_begin() and gather_end() are held back. It must
 * not wait while gather_held(): it calls gather_flush() first. [polling thread]
 */
void gather_begin(void);
void gather_end(void);
bool gather_held(void);
void gather_flush(void);

/* When the calling thread's last wait ended, by clock_now(); 0: it has never waited. [any] */
uint64_t gather_waited(void);

/* The polling thread ends: frees its spare buffers. Nothing may be held. [polling thread] */
void gather_done(void);

/* How many connections of clients are stalled: bytes that the core has written wait for the peer to
 * read. [any]
 */
unsigned gather_stalled(void);

/* Whether any connection is, also one to a backend, for which a stop does not wait. [any] */
bool gather_stalled_any(void);

/* sendmsg() and epoll_wait() for the core. [any] */
ssize_t gather_write(struct connection *connection, const struct msghdr *message, int flags);
int gather_wait(int epoll, struct epoll_event *events, int max, int timeout);

/* The core is about to wait, at epoll, for this event of a connection. Replaces the event's data by
 * a mark, by which gather_wait() recognises it and gives the core its own data back. [any] */
void gather_mark(struct connection *connection, int epoll, const struct epoll_event *event);

/*
 * --- for linger.c and goaway.c; the connection's lock is held -----------------------------------
 *
 * gather.c uses these two files as well: they act when what is held has been sent, or when the core
 * has written.
 */

/*
 * Sends what is held. -EAGAIN: the kernel takes no more, and an event will come when it does. Any
 * other error: the connection has failed, and the bytes are dropped.
 */
int gather_push(struct connection *connection);

/* Sends a frame of brickd's, behind what is held; there is always room for one. False: out of
 * memory. */
bool gather_add(struct connection *connection, const void *frame, size_t length);
#define GATHER_FRAME_MAX 17

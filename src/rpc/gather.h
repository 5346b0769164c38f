/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the core writes to its connections. It makes one system call for each reply, also when it
 * has many for one connection. Writes that the polling thread makes while it works through what one
 * wait has brought are held back and leave together, before it waits again.
 *
 * The core sees a socket as it knows it. A held byte counts as written, and there are at most
 * GATHER_SIZE of them per connection; once the kernel takes no more, the core is told EAGAIN.
 * Order is kept whichever thread writes. What the core wrote before it shut a connection down
 * arrives, if the peer reads it: linger.h. An error of a late write ends the connection: the core
 * sees it as lost as soon as it reads or writes, and is woken to do so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct connection;
struct epoll_event;
struct gather_buffer;

/* Most that one connection holds back. The memory is there only while it does. */
#define GATHER_SIZE (32 * 1024)

/*
 * Of a connection; its lock is for all of it. A buffer is there while the connection is on the list
 * of a thread, which will flush it, or while it is stalled: the kernel takes no more, and its next
 * EPOLLOUT will flush it.
 */
struct gather {
        _Atomic bool held; /* bytes are */
        bool listed;
        struct connection *next; /* on the list */
        struct gather_buffer *buffer;
        size_t begin, end; /* of the bytes in it */

        /* linger.c: by the core; to be done when the bytes have gone. */
        bool shut, closed;
        uint64_t closed_at;

        /* goaway.c */
        bool whole;   /* the core's last write has ended, and with it a frame; there was none */
        bool greeted; /* the peer has seen the core's settings; in plain text */
        bool told;    /* GOAWAY */
};

/*
 * Holds back from now on; without, every write goes straight to the kernel. When the polling thread
 * has worked through one burst for so many ns, what is held leaves at each gather_end(). [main,
 * before the polling thread runs]
 */
void gather_enable(uint64_t longest);

/*
 * The polling thread, and only it, holds back what it writes between begin and end. It must not
 * wait while gather_held() says true: gather_flush() first. [polling]
 */
void gather_begin(void);
void gather_end(void);
bool gather_held(void);
void gather_flush(void);

/* When the polling thread's last wait ended, of clock_now(). [polling] */
uint64_t gather_waited(void);

/* The polling thread ends: frees what it kept. Nothing may be held. [polling] */
void gather_leave(void);

/* Connections whose peers have yet to make room for bytes that the core has written. [any] */
unsigned gather_stalled(void);

/* As sendmsg() and epoll_wait(), for the core. [any] */
ssize_t gather_write(struct connection *connection, const struct msghdr *message, int flags);
int gather_wait(int epoll, struct epoll_event *events, int max, int timeout);

/* The core is about to wait, at epoll, for this event of a connection: marked as one, the event is
 * known when it comes, and the core gets back what it wants to see. [any] */
void gather_mark(struct connection *connection, int epoll, const struct epoll_event *event);

/* --- for linger.c and goaway.c; the connection's lock is held --------------------------------- */

/*
 * Sends what is held. -EAGAIN: the kernel takes no more, and an event will come when it does.
 * Another error: the connection is lost, and the bytes with it.
 */
int gather_push(struct connection *connection);

/* A frame that is not the core's, behind what is held; one fits always. False: memory is out. */
bool gather_add(struct connection *connection, const void *frame, size_t length);
#define GATHER_FRAME_MAX 17

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the core writes to its connections. It makes one system call for each reply, also when it
 * has many for one connection. This file stands in front of libc's sendmsg() and epoll_wait(),
 * as listen.c does for others: writes that the polling thread makes while it works
 * through what one wait has brought are held back and leave together, before it waits again.
 *
 * The core sees a socket as it knows it. A held byte counts as written, and there are at most
 * GATHER_SIZE of them per connection; once the kernel takes no more, the core is told EAGAIN.
 * Order is kept whichever thread writes. What the core wrote before it shut a connection down
 * arrives, if the peer reads it. An error of a late write ends the connection: the core sees it as
 * lost as soon as it reads or writes, and is woken to do so.
 */

#include <stdbool.h>
#include <stdint.h>

struct epoll_event;

/* Most that one connection holds back. The memory is there only while it does. */
#define GATHER_SIZE (32 * 1024)

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

/* The polling thread ends: frees what it kept. Nothing may be held. [polling] */
void gather_leave(void);

/*
 * Ends every plain-text connection without loss, as RFC 9113 section 6.8 has it: the client is told
 * to open no new streams, and what it has begun is served. The core goes on as if nothing was said.
 * Connections accepted later are told, too. Encrypted ones are left alone: nobody but the core can
 * write to them. [any]
 */
void gather_goaway(void);

/* Ends every connection, though its peer may not read what the core would still write. [any] */
void gather_disconnect(void);

/* Connections whose peers have yet to make room for bytes that the core has written. [any] */
unsigned gather_stalled(void);

/* Now and then, at `now` of clock_now(): ends connections that the core closed long ago and whose
 * peers still do not read. [any] */
void gather_look(uint64_t now);

/*
 * For listen.c: a connection has been accepted; the core shuts it down, or closes it. True: not
 * yet, as bytes wait for the peer; it is then done when they have gone. [any]
 */
void gather_open(int fd);
bool gather_shutdown(int fd);
bool gather_close(int fd);

/*
 * For receive.c: the core is about to wait, at epoll, for this event of a connection. It is marked
 * as one, so that epoll_wait() knows whose it is, and puts back there what the core wants to see.
 * [any]
 */
void gather_mark(int fd, int epoll, struct epoll_event *event);

/* For receive.c: whether an event of the connection has come since this was last asked. Of a
 * descriptor that events cannot be told of it is always true. [the thread that reads] */
bool gather_event_came(int fd);

/* For receive.c: the peer is gone. What it has sent and the core has not read is worth nothing.
 * [any] */
bool gather_is_lost(int fd);

/* For receive.c: the peer has said, in plain text, that it has seen the core's SETTINGS. [any] */
void gather_greeted(int fd);

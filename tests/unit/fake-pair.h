/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Two bricks for tests of calls from one to the other: a callee, whose functions a test sets, and a
 * caller, which is the test itself on behalf of a parent call that a fake wire has made. The thread
 * of the test is the polling thread: call runner_enter() first.
 */

#include <stdatomic.h>

#include "fake-wire.h"
#include "module/child.h"
#include "module/instance.h"

/* What the callee does; and the last call that it has started. */
extern int (*on_start)(struct brick_call *call);
extern void (*on_message)(struct brick_call *call, const struct brick_bytes *message);
extern _Atomic(struct brick_call *) callee_call;
extern atomic_uint callee_cancels, callee_messages;

/* The callee's module; and the same without message() and cancel(). */
extern const struct brick_module callee_brick;
extern const struct brick_module patient_brick;
extern const struct conf_brick callee_conf;
extern struct stats_brick callee_stats;
extern struct instance callee;
extern struct instance caller;
extern struct stats_brick caller_stats;

/* What the caller of one child has been told. */
struct told {
        unsigned messages;
        size_t bytes;
        unsigned writables;
        atomic_uint dones;
        uint32_t status;
        int32_t code;
};

/* The caller's functions; their `user` is a struct told. */
extern const struct brick_child_ops told_ops;

/* The request of the calls, and each of their messages: 5 bytes. */
extern const struct brick_bytes hello;

/* A call that the caller works on; and its end, after which no call is in flight. */
struct wire *parent_new(void);
void parent_give_back(struct wire *parent);
void parent_finish(struct wire *parent);

/* The functions of the ABI. Each then runs the queue, so that what it leads to has happened. */
struct brick_child *child_start(struct wire *parent, uint32_t method, struct told *told);
void child_recv(struct brick_child *child);
int child_send(struct brick_child *child);
void child_close(struct brick_child *child);
void child_cancel(struct brick_child *child);
void child_free(struct brick_child *child);
void callee_recv(void);
void cancel(struct wire *wire);

void check_done(const struct told *told, uint32_t status, int32_t code);

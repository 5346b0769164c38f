/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A call that one brick makes to another inside the process: the transport of the callee's call is
 * the caller. No bytes are packed for a wire and no error field is added: the caller gets payloads
 * and an outcome.
 */

#include "brick.h"

struct call;

/* The functions of the ABI that take a child. Threads and ownership: brick.h. */
int child_abi_start(struct brick_call *parent, struct brick_target *target, uint32_t method,
                    struct brick_bytes request, const struct brick_child_ops *ops, void *user,
                    struct brick_child **ret);
void child_abi_recv(struct brick_child *child);
int child_abi_send(struct brick_child *child, struct brick_bytes message);
void child_abi_close(struct brick_child *child);
void child_abi_cancel(struct brick_child *child);
void child_abi_free(struct brick_child *child);

/* The callee's time is over: limits.timeout of its instance, see timeout.h. */
void child_expire(struct call *call);

/* The parent is cancelled: so is what it has asked of others. Lock of the parent not held. */
void child_cancel_all(struct call *parent);

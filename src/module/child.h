/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Calls of one brick to another inside the process. The caller takes the place of a transport of
 * the callee's call. It gets payloads, without the error field of a reply on the wire, and an
 * outcome.
 */

#include "brick.h"

struct call;

/* The functions of the ABI that take a child. Threads and ownership: brick.h. */
int child_abi_start(struct brick_call *parent, struct brick_target *target, uint32_t method,
                    struct brick_bytes request, const struct brick_child_ops *ops, void *user,
                    struct brick_child **ret);
int child_abi_start_with(struct brick_call *parent, struct brick_target *target, uint32_t method,
                         struct brick_bytes request, const struct brick_child_options *options,
                         const struct brick_child_ops *ops, void *user, struct brick_child **ret);
void child_abi_recv(struct brick_child *child);
int child_abi_send(struct brick_child *child, struct brick_bytes message);
void child_abi_close(struct brick_child *child);
void child_abi_cancel(struct brick_child *child);
void child_abi_free(struct brick_child *child);

/* Cancels all children of a parent that has been cancelled or finished. Lock of the parent not
 * held. */
void child_cancel_all(struct call *parent);

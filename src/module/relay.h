/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Calls that a brick has left to one of its children: what the child sends goes to the client of
 * the parent call, what the client sends goes to the child, and the parent call ends as the child
 * ends. All of it runs on the runner of the parent call, as what the caller would be told.
 */

#include <stdbool.h>

#include "brick.h"

struct brick_child;
struct call;

/* The function of the ABI. */
int relay_abi_start(struct brick_call *parent, struct brick_child *child);

/* Makes what is due for a relayed call: a message of its client's has come, or there is room for
 * replies. Lock of the parent held, but released meanwhile. */
void relay_step(struct call *parent);

/* These are called with the lock of the child held, which they release meanwhile. */

/* Passes the child's next reply on. False: the client has to read before. */
bool relay_reply(struct brick_child *child);

/* Passes a message of the client's on, if there is one and the callee has taken the last. */
void relay_message(struct brick_child *child);

/* The child has ended: ends the parent call. */
void relay_end(struct brick_child *child);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The questions that a call is asked before a brick sees it: who makes it, are they within their
 * limits, may they do that. The polling thread asks, in this order, at the call's first event. A
 * function that says false has set the outcome with which to refuse it, and the trailers of that.
 */

#include <stdbool.h>

#include "brick.h"

struct instance;
struct outcome;
struct rpc_call;
struct share_party;

/* Who, and at what rate. Yes, of all calls of a port that does not authenticate. */
bool admission_identify(struct rpc_call *call, struct outcome *ret);

/* The client reads what it gets. Need not be asked while unread_any() says no. */
bool admission_listens(struct rpc_call *call, struct outcome *ret);

/* There is memory for its request, which counts until the brick is done with the call. Need not be
 * asked for one that is smaller. */
#define ADMISSION_REQUEST_MIN ((size_t)64 * 1024)
bool admission_has_room(struct rpc_call *call, struct outcome *ret);

/* This brick's method, and one more call at a time. instance NULL: there is no such brick; whoever
 * may not call all bricks is not told. */
bool admission_permit(struct rpc_call *call, const struct instance *instance, struct outcome *ret);

/* The call, and its brick, are done. [any] */
void admission_leave(struct rpc_call *call);

/* The client that a call counts for: its identity, else its address as the core names it, else its
 * connection, which *ret has already. [any] */
void admission_client(struct brick_str identity, struct brick_str peer, struct share_party *ret);

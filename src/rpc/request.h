/* SPDX-License-Identifier: MIT */
#pragma once

/* The request of an RPC, and the messages of a stream of requests. */

#include <stdbool.h>

struct call;
struct rpc_call;

/* Takes the request of a call whose request is one message. False: it is missing or cannot be
 * parsed, and the call has been refused. Lock not held. */
bool rpc_take_request(struct rpc_call *call);

/* Of struct transport. */
void rpc_receive(struct call *base);
void rpc_release(struct call *base);
void rpc_forget(struct call *base);

/* Events. [polling thread] */
void rpc_on_read(void *owner, bool ok);
